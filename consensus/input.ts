/**
 * Inputs: everything that can happen to the machine.
 *
 * Whoever runs it appends each input to the log (wal.ts, `isLogged`) before stepping, and performs the effects only when the log is on
 * disk. Inputs of another height, or that come too late, are ignored without effects.
 */
import type { Hex } from 'viem'
import type { Message } from './message.ts'
import type { Timer } from './timing.ts'
import type { ValidatorSet } from './validatorSet.ts'

export type Input =
  /**
   * Begin a height above the last one, with the set of its epoch. When to begin is the caller's: as soon as transactions wait, or
   * the longest interval between blocks has passed, or a message of that height came in (early.ts). `votes` false: watch and decide but
   * sign nothing, because the log of what was signed at this height is lost (guard.ts, `mayVote`).
   */
  | { readonly kind: 'startHeight'; readonly height: number; readonly set: ValidatorSet; readonly votes: boolean }
  /** A message whose signatures were verified (verify.ts), be it from others or signed here. `receivedMs`: local clock, for proposals. */
  | { readonly kind: 'message'; readonly message: Message; readonly receivedMs: number }
  /** The block asked for by `buildBlock`. Its bytes are on disk, and it is valid. */
  | { readonly kind: 'blockBuilt'; readonly height: number; readonly round: number; readonly blockHash: Hex; readonly timestampMs: number }
  /**
   * The verdict on a block asked for by `checkBlock` or `fetchBlock`. Valid: it was executed on top of the last decided block, its hash
   * and roots hold, its time is above its parent's, and its bytes are on disk. `timestampMs` is the header's.
   */
  | {
      readonly kind: 'blockChecked'
      readonly height: number
      readonly blockHash: Hex
      readonly valid: boolean
      readonly timestampMs: number
    }
  /** A timer asked for by `startTimer` has run out. */
  | { readonly kind: 'timeout'; readonly timer: Timer; readonly height: number; readonly round: number }
