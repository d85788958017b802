// Sockets: a cell has none, so every descriptor is either not open or not a socket.
import type { Context } from './context.ts'
import { Errno } from './errno.ts'

export function socketCalls({ descriptors }: Context) {
  const refuse = (fd: number): Errno => (descriptors.get(fd) === undefined ? Errno.BADF : Errno.NOTSOCK)
  return { sock_accept: refuse, sock_recv: refuse, sock_send: refuse, sock_shutdown: refuse }
}
