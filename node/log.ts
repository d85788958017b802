// What a peer says while it runs: libp2p's logger interface, lines on standard error, one level for all of it.
import { format } from 'node:util'
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'

export type LogLevel = 'silent' | 'error' | 'info' | 'trace'

/** A logger for `part`. `log()` is information, `log.error()` asks for someone's attention, `log.trace()` is about messages. */
export function loggerOf(part: string, level: LogLevel, clock: Clock): Logger {
  const order: readonly LogLevel[] = ['silent', 'error', 'info', 'trace']
  const upTo = order.indexOf(level)
  const at =
    (own: LogLevel) =>
    (text: string, ...args: unknown[]): void => {
      if (order.indexOf(own) > upTo) return
      const known = args.map((value) => (value instanceof Error ? messageOf(value) : value))
      // Reasons come from other peers, too: none may begin a line of its own, nor steer the terminal.
      const line = format(text.replaceAll('%e', '%s'), ...known)
        .replace(/\s*\n\s*/g, ' ')
        .replace(/\p{Cc}/gu, '\ufffd')
      process.stderr.write(`${new Date(clock.now()).toISOString()} ${own} ${part}: ${line}\n`)
    }
  const logger = at('info') as Logger
  logger.error = at('error')
  logger.trace = at('trace')
  logger.enabled = upTo > 0
  logger.newScope = (name) => loggerOf(`${part}:${name}`, level, clock)
  return logger
}
