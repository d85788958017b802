// Opens the home that it is given, keeps a record in it, says so, and holds it until it is killed.
import { utf8 } from '../../../../core/bytes.ts'
import { Home } from '../../../../node/home.ts'
import { loadIdentity } from '../../../../node/identity.ts'
import { signerOf } from '../../../../protocols/kit/signing.ts'

const home = await Home.open(process.argv[2] ?? '')
await home.records('things').put('kept', utf8('by the first'))
process.send?.(signerOf(await loadIdentity(home.path)).self)
