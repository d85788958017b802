// Tickets in the peer's home.
import * as s from '../../core/shape.ts'
import { type TicketStore, ticketRecordShape } from '../../protocols/admission/index.ts'
import type { RecordStore } from '../cells/types.ts'
import type { NodeErrorCode } from '../errors.ts'

export function ticketStoreOn(records: RecordStore): TicketStore {
  const decode = (bytes: Uint8Array) =>
    s.fromCbor<ReturnType<typeof ticketRecordShape>, NodeErrorCode>(bytes, ticketRecordShape, 'HOME_UNREADABLE')
  return {
    put: (record) => records.put(record.id, s.toCbor(record)),
    async get(id) {
      const bytes = await records.get(id)
      return bytes === undefined ? undefined : decode(bytes)
    },
    list: async () => (await records.list()).map(([, bytes]) => decode(bytes)),
  }
}
