// Standard input on its way to a cell: each byte once and in order, through losses, repeats, moves and full cells.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromUtf8, utf8 } from '../../../core/bytes.ts'
import { type Clock, systemClock } from '../../../core/clock.ts'
import { CodedError } from '../../../core/errors.ts'
import { Attachments, type AttachmentsInit } from '../../../node/cells/attachments.ts'
import type { CellRecord } from '../../../node/cells/cell-record.ts'
import type { Command, CommandResult } from '../../../protocols/placement/index.ts'

const CELL = 'ab'.repeat(32)

/** What becomes of one command: it is lost on the way there or back, refused, or done, with room for so many bytes. */
type Fate = 'lost' | 'answer lost' | 'moving' | 'refused' | number

/** A cell somewhere, and the authority's view of it. */
function bench(fates: Fate[] = []) {
  let now = 0
  const clock: Clock = {
    ...systemClock,
    mono: () => now,
    after: (ms, fn) => {
      const timer = setImmediate(() => {
        now += ms
        fn()
      })
      return { cancel: () => clearImmediate(timer) }
    },
  }
  const state = {
    phase: 'running' as CellRecord['phase'],
    read: new Uint8Array(0) as Uint8Array,
    closed: false,
    at: [] as number[],
  }
  const take = ({ at, bytes, end }: Extract<Command, { kind: 'write-stdin' }>, room: number): CommandResult => {
    if (at <= state.read.length && !state.closed) {
      state.read = concat([state.read, bytes.subarray(state.read.length - at).subarray(0, room)])
      if (end === true && state.read.length === at + bytes.length) state.closed = true
    }
    return { kind: 'stdin', bytes: state.read.length, closed: state.closed }
  }
  const command: AttachmentsInit['command'] = async (_record, order) => {
    if (order.kind !== 'write-stdin') throw new Error('nothing else is asked')
    state.at.push(now)
    const fate = fates.shift() ?? Number.POSITIVE_INFINITY
    if (fate === 'lost') throw new CodedError('STREAM_RESET', 'the stream broke')
    if (fate === 'refused') throw new CodedError('NOT_OWNER', 'it is not yours')
    if (fate === 'moving') throw new CodedError('CELL_NOT_RUNNING', 'it is leaving')
    const result = take(order, fate === 'answer lost' ? Number.POSITIVE_INFINITY : fate)
    if (fate === 'answer lost') throw new CodedError('STREAM_TIMEOUT', 'no answer came')
    return result
  }
  const record = (): CellRecord => ({ cell: CELL, phase: state.phase }) as CellRecord
  const book = {
    get: () => ({ record: record(), decisions: [] }),
    changed: async () => {
      now += 100
    },
  } as unknown as AttachmentsInit['book']
  return { attachments: new Attachments({ book, clock, command }), state }
}

const signal = new AbortController().signal
const piece = (writer: string, at: number, text = '', end = false) => ({ writer, at, bytes: utf8(text), end })

describe('standard input', () => {
  it('arrives whole, once and in order, whatever is lost, refused or only half taken', async () => {
    const fate = fc.oneof(fc.constantFrom<Fate>('lost', 'answer lost', 'moving'), fc.integer({ min: 0, max: 3 }))
    const texts = fc.array(fc.string({ minLength: 1, maxLength: 6, unit: 'grapheme-ascii' }), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { maxLength: 25 }), texts, async (fates, pieces) => {
        const { attachments, state } = bench(fates)
        let taken = await attachments.write(CELL, piece('w', 0), signal)
        for (const text of pieces) {
          for (let rest = text; rest !== ''; ) {
            const { bytes } = taken
            taken = await attachments.write(CELL, piece('w', bytes, rest), signal)
            rest = rest.slice(taken.bytes - bytes)
          }
        }
        while (!taken.closed) taken = await attachments.write(CELL, piece('w', taken.bytes, '', true), signal)
        expect(fromUtf8(state.read)).toBe(pieces.join(''))
        expect(state.closed).toBe(true)
      }),
    )
  })

  it('waits for a cell that is being placed or moved, a minute at most', async () => {
    const { attachments, state } = bench()
    state.phase = 'placed'
    await expect(attachments.write(CELL, piece('w', 0), signal)).rejects.toMatchObject({ code: 'CELL_NOT_RUNNING' })
    const waiting = attachments.write(CELL, piece('w', 0, 'x'), signal)
    state.phase = 'running'
    expect(await waiting).toEqual({ bytes: 1, closed: false })
  })

  it('is not sent again where it is refused for good', async () => {
    const { attachments, state } = bench(['lost', 'refused'])
    await expect(attachments.write(CELL, piece('w', 0, 'x'), signal)).rejects.toMatchObject({ code: 'NOT_OWNER' })
    expect(state.at).toHaveLength(2)
    expect(await attachments.write(CELL, piece('w', 0, 'x'), signal)).toEqual({ bytes: 1, closed: false })
  })

  it('of a cell that has ended is nobody’s any more', async () => {
    const { attachments, state } = bench()
    state.phase = 'finished'
    await expect(attachments.write(CELL, piece('w', 0, 'x'), signal)).rejects.toThrow('it has ended')
  })

  it('comes from whoever attached last', async () => {
    const { attachments, state } = bench()
    await attachments.write(CELL, piece('first', 0), signal)
    await attachments.write(CELL, piece('first', 0, 'one '), signal)
    expect(await attachments.write(CELL, piece('second', 0), signal)).toEqual({ bytes: 4, closed: false })
    await attachments.write(CELL, piece('second', 4, 'two'), signal)
    const late = attachments.write(CELL, piece('first', 4, 'three'), signal)
    await expect(late).rejects.toMatchObject({ code: 'CELL_STDIN_ELSEWHERE' })
    expect(fromUtf8(state.read)).toBe('one two')
  })

  it('goes on its way eight times a second at most', async () => {
    const { attachments, state } = bench()
    for (let at = 0; at < 5; at++) await attachments.write(CELL, piece('w', at, 'x'), signal)
    for (const [n, at] of state.at.slice(1).entries()) expect(at - (state.at[n] ?? 0)).toBeGreaterThanOrEqual(125)
  })

  it('is given up with whoever sends it', async () => {
    const { attachments } = bench(['moving'])
    const gone = new AbortController()
    const writing = attachments.write(CELL, piece('w', 0, 'x'), gone.signal)
    gone.abort(new Error('the terminal is gone'))
    await expect(writing).rejects.toThrow('the terminal is gone')
  })
})
