// `npm run demo`: five real peers on this machine do the main job on real input, and every claim is checked.
// --keep leaves the mesh up and says how to talk to it.
import { systemClock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import { ProcessMesh } from '../processes/mesh.ts'
import { joinMesh, learnTogether, losePeer, moveSpeech, runSamples, sayWhatWent } from './chapters.ts'
import { Story } from './story.ts'

const keep = process.argv.includes('--keep')
const started = systemClock.mono()
const story = new Story(systemClock)
const mesh = await ProcessMesh.create()
try {
  const demo = await joinMesh(story, mesh)
  const speech = await moveSpeech(story, demo)
  await runSamples(story, demo, speech)
  await losePeer(story, demo)
  await learnTogether(story, demo)
  await sayWhatWent(story, demo)
} catch (error) {
  story.say(`the demo could not go on: ${messageOf(error)}`)
  for (const peer of mesh.peers) {
    const tail = peer.log().split('\n').slice(-8).join('\n')
    if (tail.trim() !== '') story.say(`--- ${peer.name}`, tail)
  }
  story.check('the demo went on to its end', false)
}
const seconds = (systemClock.mono() - started) / 1000
if (keep && story.good) {
  story.say('The mesh is left up. Talk to it, and end it with "cloudskin down" on each home:')
  for (const peer of mesh.peers) story.say(`npm run -s cloudskin -- peers --home ${peer.home}`)
  mesh.release()
} else {
  await mesh.stop().catch((error: unknown) => story.say(`while putting away: ${messageOf(error)}`))
}
story.end(seconds)
process.exit(story.good ? 0 : 1)
