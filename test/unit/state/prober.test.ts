import { expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import { MemoryMesh } from '../../../protocols/kit/memory-network.ts'
import { okReply, serve } from '../../../protocols/kit/request.ts'
import { probeShape } from '../../../protocols/state/messages.ts'
import { type ProbeResult, probe } from '../../../protocols/state/prober.ts'
import { PROBE_PROTOCOL } from '../../../protocols/state/protocol.ts'
import { ManualClock } from '../../support/manual-clock.ts'

type Behaviour = 'answers' | 'silent' | 'refuses' | 'slow-down' | 'finds it alive' | 'finds it dead' | 'breaks'

const never = new AbortController().signal

async function meshOf(behaviours: Record<string, Behaviour>): Promise<MemoryMesh> {
  const mesh = new MemoryMesh()
  for (const [name, behaviour] of Object.entries(behaviours)) {
    await mesh.join(name).handle(PROBE_PROTOCOL, async (stream, context) => {
      if (behaviour === 'silent') return new Promise(() => undefined)
      if (behaviour === 'breaks') throw new Error('broken')
      const answer = serve(probeShape, async () => {
        if (behaviour === 'refuses') throw new CodedError('BUSY', 'not now')
        return { alive: behaviour !== 'finds it dead' }
      })
      await answer(stream, context)
    })
  }
  return mesh
}

async function probed(
  behaviours: Record<string, Behaviour>,
  run = (clock: ManualClock): Promise<void> => clock.advance(5_000),
): Promise<ProbeResult> {
  const mesh = await meshOf(behaviours)
  const clock = new ManualClock()
  const helpers = Object.keys(behaviours).filter((name) => name !== 'target')
  const effect = { kind: 'probe', peer: 'target', helpers, timeoutMs: 1_000 } as const
  const result = probe(mesh.join('me'), clock, effect, never)
  // Answers that are under way arrive before any time passes.
  await clock.advance(0)
  await run(clock)
  return result
}

test('who answers, or refuses, lives', async () => {
  expect(await probed({ target: 'answers' })).toMatchObject({ outcome: 'alive', rttMs: 0 })
  expect(await probed({ target: 'refuses' })).toMatchObject({ outcome: 'alive' })
})

test('who is silent, broken or unreachable is dead, when nobody else reaches it', async () => {
  expect(await probed({})).toEqual({ outcome: 'dead', silentHelpers: 0 })
  expect(await probed({ target: 'silent' })).toEqual({ outcome: 'dead', silentHelpers: 0 })
  expect(await probed({ target: 'breaks', a: 'finds it dead' })).toEqual({ outcome: 'dead', silentHelpers: 0 })
})

test('one helper that reaches it is enough, however many are silent', async () => {
  expect(await probed({ target: 'silent', a: 'silent', b: 'finds it alive', c: 'finds it dead' })).toEqual({
    outcome: 'alive',
    silentHelpers: 0,
  })
})

test('helpers that say nothing are counted: the fault may be ours', async () => {
  expect(await probed({ target: 'silent', a: 'silent', b: 'breaks', c: 'finds it dead' })).toEqual({
    outcome: 'dead',
    silentHelpers: 2,
  })
})

test('an end far too late proves nothing: we were stalled', async () => {
  const stall = async (clock: ManualClock): Promise<void> => {
    const advance = clock.advance(999)
    await advance
    const mono = clock.mono.bind(clock)
    clock.mono = () => mono() + 4_000
    await clock.advance(5_000)
  }
  expect(await probed({ target: 'silent', a: 'finds it dead' }, stall)).toMatchObject({ outcome: 'inconclusive' })
})

test('the reply of a ping is read, and garbage is a sign of life too', async () => {
  const mesh = new MemoryMesh()
  await mesh.join('target').handle(PROBE_PROTOCOL, async (stream) => {
    await stream.receive()
    await stream.send(okReply({ alive: 'perhaps' }))
  })
  const effect = { kind: 'probe', peer: 'target', helpers: [], timeoutMs: 1_000 } as const
  expect(await probe(mesh.join('me'), new ManualClock(), effect, never)).toMatchObject({ outcome: 'alive' })
})
