// The driver's promises: blocking calls, exceptions, traps, suspension in place, fuel, bad snapshots, deep stacks.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_AGAIN } from '../../../cells/instrument/abi.ts'
import { type PollAnswer, Suspendable } from '../../../cells/instrument/driver.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { moved } from '../../support/suspension.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { ADD, kit } from '../../support/wasm-kit.ts'

type Host = Record<string, (...args: never[]) => unknown>

function compile(bytes: Uint8Array): WebAssembly.Module {
  return new WebAssembly.Module(instrument(bytes, { memoryMaxPages: 16 }).bytes)
}

function cellOf(module: WebAssembly.Module, host: Host, onPoll: () => PollAnswer, budget = 0): Suspendable {
  const imports = { wasi_snapshot_preview1: { trace: () => undefined, ...host } }
  return new Suspendable({ module, imports, onPoll, budget })
}

/** `trace(slow(times))` */
function slowProgram(times: number): Uint8Array {
  const { b, slow, trace } = kit()
  b.func({ export: '_start', code: [...asm.i32(times), ...asm.call(slow), ...asm.call(trace)] })
  return b.build()
}

/** Calls itself `depth` times before it loops once. */
function deepProgram(depth: number): Uint8Array {
  const { b, slow, trace } = kit()
  const self = b.nextFunction
  const deeper: Code = [...asm.get(0), ...asm.get(0), ...asm.i32(1), OP.i32Sub, ...asm.call(self), ...ADD]
  b.func({
    params: [i32],
    results: [i32],
    code: [...asm.get(0), ...asm.if(i32, deeper, [...asm.i32(1), ...asm.call(slow)])],
  })
  b.func({ export: '_start', code: [...asm.i32(depth), ...asm.call(self), ...asm.call(trace)] })
  return b.build()
}

describe('a call that would block', () => {
  /** `do trace(fd_read(7, 8, 9, 10)) twice`, once directly and once through the table. */
  function reader(): Uint8Array {
    const b = new WasmBuilder()
    const trace = b.import('trace', [i32], [])
    const read = b.import('fd_read', [i32, i32, i32, i32], [i32])
    b.table(1).elements(0, [read])
    const args = [7, 8, 9, 10].flatMap((n) => [...asm.i32(n)])
    const type = b.type([i32, i32, i32, i32], [i32])
    b.func({
      export: '_start',
      code: [
        ...args,
        ...asm.call(read),
        ...asm.call(trace),
        ...args,
        ...asm.i32(0),
        ...asm.callIndirect(type),
        ...asm.call(trace),
      ],
    })
    return b.build()
  }

  it('is suspended when it answers BLOCK_AGAIN, and made again with the same arguments after the move', () => {
    const module = compile(reader())
    const trace: number[] = []
    const calls: number[][] = []
    let blocked = true
    let stop = false
    const make = (): Suspendable => {
      const cell: Suspendable = cellOf(
        module,
        {
          trace: (value: number) => void trace.push(value),
          fd_read: (...args: number[]) => {
            calls.push(args)
            blocked = !blocked
            if (blocked) return 40 + calls.length
            stop = true
            cell.interrupt()
            return BLOCK_AGAIN
          },
        },
        () => (stop ? 'unwind' : 'continue'),
        1_000_000,
      )
      return cell
    }
    let cell = make()
    expect(cell.run()).toBe('suspended')
    stop = false
    cell = moved(cell, make())
    expect(cell.rewind()).toBe('suspended')
    expect(trace).toEqual([42])
    stop = false
    cell = moved(cell, make())
    expect(cell.rewind()).toBe('returned')
    expect(trace).toEqual([42, 44])
    expect(calls).toEqual(Array.from({ length: 4 }, () => [7, 8, 9, 10]))
  })
})

describe('what ends a run', () => {
  it('an exception of an import passes through as it is, before and after a rewind', () => {
    const exit = new Error('exit 3')
    const host: Host = {
      trace: () => {
        throw exit
      },
    }
    const module = compile(slowProgram(3))
    expect(() => cellOf(module, host, () => 'continue').run()).toThrow(exit)
    const cell = cellOf(module, host, () => 'unwind')
    expect(cell.run()).toBe('suspended')
    const next = moved(
      cell,
      cellOf(module, host, () => 'continue'),
    )
    expect(() => next.rewind()).toThrow(exit)
    expect(() => next.takeFrames()).toThrow()
  })

  it('so do what onPoll throws, and traps', () => {
    const limit = new Error('fuel limit')
    const fail = (): PollAnswer => {
      throw limit
    }
    expect(() => cellOf(compile(slowProgram(3)), {}, fail).run()).toThrow(limit)
    const b = new WasmBuilder()
    b.func({ export: '_start', code: [...asm.loop(VOID), OP.unreachable] })
    expect(() => cellOf(compile(b.build()), {}, () => 'continue').run()).toThrow(WebAssembly.RuntimeError)
  })

  it('a guest exception that nobody catches does not look like a suspension', () => {
    const thrower = Uint8Array.from([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 4, 1, 0x60, 0, 0],
      ...[3, 2, 1, 0],
      ...[13, 3, 1, 0, 0],
      ...[7, 10, 1, 6, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74, 0, 0],
      ...[10, 9, 1, 7, 0, 3, 0x40, 0x0b, 8, 0, 0x0b],
    ])
    expect(WebAssembly.validate(thrower)).toBe(true)
    expect(() => cellOf(compile(thrower), {}, () => 'continue').run()).toThrow(WebAssembly.Exception)
  })
})

describe('suspension in place', () => {
  it('goes on where it was, again and again, and counts every poll once', () => {
    const trace: number[] = []
    const host: Host = { trace: (value: number) => void trace.push(value) }
    const module = compile(slowProgram(20))
    const alone = cellOf(module, host, () => 'continue', 1000)
    expect(alone.run()).toBe('returned')
    for (const budget of [0, 1, 4, 1000]) {
      const cell = cellOf(module, host, () => 'unwind', budget)
      let outcome = cell.run()
      while (outcome === 'suspended') outcome = cell.rewind()
      expect(cell.pollsPassed).toBe(alone.pollsPassed)
    }
    expect(trace).toEqual([60, 60, 60, 60, 60])
  })
})

describe('deep stacks', () => {
  it('outgrow the first page of the frame memory', () => {
    const trace: number[] = []
    const host: Host = { trace: (value: number) => void trace.push(value) }
    const module = compile(deepProgram(3000))
    let armed = false
    const cell = cellOf(module, host, () => (armed ? 'unwind' : 'continue'), 3001)
    armed = true
    expect(cell.run()).toBe('suspended')
    const frames = cell.takeFrames()
    expect(frames.length).toBeGreaterThan(65536 / 2)
    expect(
      moved(
        cell,
        cellOf(module, host, () => 'continue'),
      ).rewind(),
    ).toBe('returned')
    expect(trace).toEqual([(3000 * 3001) / 2 + 3])
  })

  it('may be deeper than the engine could recurse, for what was there before a move takes no room on its stack', () => {
    const depth = 200_000
    const plain = new WebAssembly.Instance(new WebAssembly.Module(deepProgram(depth)), {
      wasi_snapshot_preview1: { trace: () => undefined },
    })
    expect(() => (plain.exports._start as () => void)()).toThrow(RangeError)
    const trace: number[] = []
    const host: Host = { trace: (value: number) => void trace.push(value) }
    const module = compile(deepProgram(depth))
    let cell = cellOf(module, host, () => 'unwind', 3_000)
    let outcome = cell.run()
    for (let hop = 0; outcome === 'suspended'; hop++) {
      // Every other time it goes on where it is.
      if (hop % 2 === 0)
        cell = moved(
          cell,
          cellOf(module, host, () => 'unwind', 3_000),
        )
      outcome = cell.rewind()
    }
    expect(trace).toEqual([((depth * (depth + 1)) / 2 + 3) | 0])
  })

  it('that are too large to be moved go on where they are', () => {
    const { b, slow, trace } = kit()
    const self = b.nextFunction
    const wide = 40
    const values: Code = Array.from({ length: wide }, (_, i) => asm.v128(i)).flat()
    const deeper: Code = [...values, ...asm.get(0), ...asm.i32(1), OP.i32Sub, ...asm.call(self)]
    const dropped: Code = Array.from({ length: wide }, () => OP.drop)
    b.func({ params: [i32], code: [...asm.get(0), ...asm.if(VOID, [...deeper, ...dropped])] })
    const depth = 110_000
    b.func({
      export: '_start',
      code: [...asm.i32(depth), ...asm.call(self), ...asm.i32(2), ...asm.call(slow), ...asm.call(trace)],
    })
    const seen: number[] = []
    const host: Host = { trace: (value: number) => void seen.push(value) }
    const cell = cellOf(compile(b.build()), host, () => 'unwind', 500)
    let refused = 0
    let outcome = cell.run()
    for (let hop = 0; outcome === 'suspended'; hop++) {
      try {
        if (hop % 30 === 29) cell.takeFrames()
      } catch (error) {
        expect(error).toMatchObject({ code: 'CELL_STACK_TOO_DEEP' })
        refused++
      }
      outcome = cell.rewind()
    }
    expect(refused).toBeGreaterThan(0)
    expect(seen).toEqual([6])
  })
})

describe('bad snapshots', () => {
  const module = compile(deepProgram(4))

  function suspended(): Suspendable {
    const cell = cellOf(module, {}, () => 'unwind', 5)
    expect(cell.run()).toBe('suspended')
    return cell
  }

  it('globals of the wrong length', () => {
    expect(() => suspended().putGlobals(new Uint8Array(3))).toThrow(
      expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' }),
    )
  })

  it.each([
    ['none', () => new Uint8Array(0)],
    ['without the deepest', (frames: Uint8Array) => frames.subarray(16)],
    ['without the outermost', (frames: Uint8Array) => frames.subarray(0, -16)],
  ])('frames: %s', (_, damage) => {
    const cell = cellOf(module, {}, () => 'continue', 100)
    cell.putFrames(damage(suspended().takeFrames()))
    expect(() => cell.rewind()).toThrow(expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' }))
  })

  it('frames: a size that is not that of the function', () => {
    const frames = suspended().takeFrames()
    let ends = 0
    for (let end = frames.length; end > 0; ends++) {
      const damaged = frames.slice()
      const header = new DataView(damaged.buffer, end - 4)
      const size = header.getInt32(0, true)
      header.setInt32(0, size + 4, true)
      const cell = cellOf(module, {}, () => 'continue', 100)
      cell.putFrames(damaged)
      expect(() => cell.rewind(), `frame that ends at ${end}`).toThrow(
        expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' }),
      )
      end -= size
    }
    expect(ends).toBeGreaterThan(4)
  })

  it('damaged frames harm nobody: refused, trapped, or a program that still runs in its sandbox', () => {
    const frames = suspended().takeFrames()
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(frames.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const damaged = frames.slice()
          for (const [at, value] of changes) damaged[at] = value
          let polls = 0
          const onPoll = (): PollAnswer => {
            if (++polls > 100) throw new Error('long enough')
            return polls % 3 === 0 ? 'unwind' : 'continue'
          }
          const cell = cellOf(module, {}, onPoll, 1)
          cell.putFrames(damaged)
          try {
            let outcome = cell.rewind()
            while (outcome === 'suspended') outcome = cell.rewind()
            expect(outcome).toBe('returned')
          } catch (error) {
            expect(String(error)).toMatch(
              /SNAPSHOT_MALFORMED|Take a new snapshot|long enough|larger stack|unreachable|call stack/,
            )
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})
