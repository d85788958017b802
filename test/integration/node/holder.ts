// A process that holds a home and writes records without end; it prints the key of each that was acknowledged.
import { Home } from '../../../node/home.ts'

const home = await Home.open(process.argv[2] ?? '')
const records = home.records('written')
process.stdout.write('open\n')
for (let n = 0; ; n++) {
  const key = String(n).padStart(8, '0')
  await records.put(key, new Uint8Array(100).fill(n))
  process.stdout.write(`${key}\n`)
}
