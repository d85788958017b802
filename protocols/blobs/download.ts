// Which holder to ask next, and from where on. Pure: bytes and streams are the service's.
// A part got from one holder is continued with the next. When the whole is corrupt and several took part, nobody can
// say who lied: each of them gets one more try alone.
import type { PeerKey } from '../kit/types.ts'

export interface Attempt {
  readonly holder: PeerKey
  /** Start afresh and let nobody else contribute. */
  readonly alone: boolean
}

export interface Download {
  readonly waiting: readonly Attempt[]
  /** Who gave bytes of the part at hand. */
  readonly contributors: readonly PeerKey[]
  readonly offset: number
}

export function newDownload(holders: readonly PeerKey[]): Download {
  return { waiting: [...new Set(holders)].map((holder) => ({ holder, alone: false })), contributors: [], offset: 0 }
}

/** The next attempt, and the download without it; its `offset` says from where on to ask. */
export function next(download: Download): { readonly attempt: Attempt; readonly download: Download } | undefined {
  const [attempt, ...waiting] = download.waiting
  if (attempt === undefined) return undefined
  const fresh = attempt.alone ? { contributors: [], offset: 0 } : {}
  return { attempt, download: { ...download, ...fresh, waiting } }
}

/** `holder` has given `bytes` more. */
export function received(download: Download, holder: PeerKey, bytes: number): Download {
  const { contributors } = download
  return {
    ...download,
    contributors: contributors.includes(holder) ? contributors : [...contributors, holder],
    offset: download.offset + bytes,
  }
}

/** What was received is not the object. */
export function corrupted(download: Download): Download {
  const { contributors, waiting } = download
  const again = contributors.length > 1 ? contributors.map((holder) => ({ holder, alone: true })) : []
  return { waiting: [...waiting, ...again], contributors: [], offset: 0 }
}
