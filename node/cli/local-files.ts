// Files beside the CLI, of any size.
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { CodedError, isAbort, isCoded, messageOf } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { CliErrorCode } from './errors.ts'

/** A local file; `-` is standard input. */
export async function readLocal(path: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return path === '-' ? await abortable(buffer(process.stdin), signal) : await readFile(path)
  } catch (error) {
    if (isAbort(error)) throw error
    throw unreadable(path, error)
  }
}

/** A local file that need not fit into memory; `-` is standard input. */
export async function openLocal(path: string, signal: AbortSignal): Promise<Uint8Array | Readable> {
  if (path === '-') return readLocal(path, signal)
  try {
    const file = await open(path)
    if ((await file.stat()).isDirectory()) throw new Error('it is a folder')
    return file.createReadStream({ signal })
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** Writes a file, which takes its name when it is whole; what is no file, like a device, is written as it comes. */
export async function writeLocal(path: string, chunks: AsyncGenerator<Uint8Array>): Promise<number> {
  const first = await chunks.next()
  const old = await stat(path).catch(() => undefined)
  const written = old === undefined || old.isFile() ? `${path}.part` : path
  let bytes = 0
  try {
    const file = await open(written, 'w')
    try {
      for (let next = first; next.done !== true; next = await chunks.next()) {
        await file.writeFile(next.value)
        bytes += next.value.length
      }
    } finally {
      await file.close()
    }
    if (written !== path) await rename(written, path)
  } catch (error) {
    if (written !== path) await rm(written, { force: true }).catch(() => undefined)
    if (isCoded(error)) throw error
    const message = `cannot write ${path}: ${messageOf(error)}`
    throw new CodedError<CliErrorCode>('FILE_UNWRITABLE', message, { cause: error })
  } finally {
    await chunks.return(undefined)
  }
  return bytes
}

function unreadable(path: string, error: unknown): CodedError<CliErrorCode> {
  return new CodedError('FILE_UNREADABLE', `cannot read ${path}: ${messageOf(error)}`, {
    facts: { path },
    cause: error,
  })
}
