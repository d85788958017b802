// What V8 is told before anything large is loaded.
import { setFlagsFromString } from 'node:v8'

// A peer is mostly idle and shares its machine: a small heap is preferred. Measured on an idle peer of three, Node 24: 159 MB
// resident without, 124 MB with it (60 MB of both are the node binary, shared by all that run it).
setFlagsFromString('--optimize-for-size')

// Node joins V8's threads when it exits, and one that compiles may wait there for a garbage collection that nobody makes any more
// (https://github.com/nodejs/node/issues/54918): without this, 5 of 150 exits of a busy process hung, with it none of 300.
setFlagsFromString('--no-concurrent-sparkplug')
