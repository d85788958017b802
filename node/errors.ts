// Codes of the peer itself: its home, its identity, its addresses.
import type { CodeTable } from '../core/errors.ts'

export type NodeErrorCode =
  | 'HOME_LOCKED'
  | 'HOME_UNREADABLE'
  | 'HOME_FULL'
  | 'OWNER_KEY_MISSING'
  | 'LISTEN_FAILED'
  | 'ADDRESS_BAD'
  | 'JOIN_UNANSWERED'

export const NODE_ERRORS: CodeTable<NodeErrorCode> = {
  HOME_LOCKED: 'Another peer runs on this home.',
  HOME_UNREADABLE: 'The home folder, or something in it, cannot be read or written.',
  HOME_FULL: 'The disk that the home is on is full.',
  OWNER_KEY_MISSING: 'This home does not hold the owner key of its mesh.',
  LISTEN_FAILED: 'The peer cannot listen on an address: it is in use, or not one of this machine.',
  ADDRESS_BAD: 'A text is no multiaddr of a peer.',
  JOIN_UNANSWERED:
    'No address given with --join answers as a member of this mesh: the peer runs without them, and tries on.',
}
