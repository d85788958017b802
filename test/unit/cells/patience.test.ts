// How long who asked for a move waits for its host, against what the move itself may take.
import { expect, it } from 'vitest'
import { MOVE_TIMEOUT_MS } from '../../../node/cells/desk.ts'
import { DEADLINES, MAX_IMAGE_BYTES, MIGRATE, SLOWEST_BYTES_PER_MS } from '../../../protocols/migration/protocol.ts'
import { COMMAND } from '../../../protocols/placement/protocol.ts'

it('an owner waits longer than a move lasts, and a command may', () => {
  expect(MOVE_TIMEOUT_MS).toBeGreaterThan(MIGRATE.streamTimeoutMs)
  expect(COMMAND.messageTimeoutMs).toBeGreaterThanOrEqual(MOVE_TIMEOUT_MS)
  expect(COMMAND.streamTimeoutMs).toBeGreaterThan(COMMAND.messageTimeoutMs)
})

it('a stream of a move outlives its largest image, and its silence every deadline', () => {
  expect(MIGRATE.streamTimeoutMs).toBeGreaterThan(DEADLINES.prepareMs + MAX_IMAGE_BYTES / SLOWEST_BYTES_PER_MS)
  const { askMaxMs: _, retryMaxMs: __, ...steps } = DEADLINES
  expect(MIGRATE.messageTimeoutMs).toBeGreaterThan(Math.max(...Object.values(steps)))
})
