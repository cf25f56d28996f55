/**
 * Effects: everything the machine asks for, in order. What leaves the process, a message or a decision, does so after the inputs that caused it, and then
 * the guard, are on disk; one wait for the disk may serve all that came together.
 */
import type { Hex } from 'viem'
import type { Commit } from './certificate.ts'
import type { Evidence } from './evidence.ts'
import type { Message, UnsignedMessage } from './message.ts'
import type { Timer } from './timing.ts'

export type Effect =
  /** Build a block of this height. MUST store its bytes before the answer. Resume with `blockBuilt`; no answer means no proposal. */
  | { readonly kind: 'buildBlock'; readonly height: number; readonly round: number }
  /** Find out if a proposed block is valid; its bytes may still be on their way. Resume with `blockChecked`, once. */
  | { readonly kind: 'checkBlock'; readonly height: number; readonly blockHash: Hex }
  /** The same, and a quorum vouches for the block: ask others for its bytes now if they are not here. Resume with `blockChecked`, once. */
  | { readonly kind: 'fetchBlock'; readonly height: number; readonly blockHash: Hex }
  /**
   * Sign. MUST ask the guard first (guard.ts), and have the log and then the guard's new value on disk before the signature leaves the process. Resume
   * with the message as a `message` input, and broadcast it. If the guard refuses, the validator stays silent: nothing is resumed.
   */
  | { readonly kind: 'sign'; readonly message: UnsignedMessage }
  /** Send to all others. May be lost: it is said again while the height is open. */
  | { readonly kind: 'broadcast'; readonly message: Message }
  /** Resume with `timeout` after `ms`, of this height and round. */
  | { readonly kind: 'startTimer'; readonly timer: Timer; readonly height: number; readonly round: number; readonly ms: number }
  /** No timer of this height matters any more. */
  | { readonly kind: 'stopTimers'; readonly height: number }
  /** The block is final. MUST be stored with its commit in one atomic write, once: after a restart the effect may come again. */
  | { readonly kind: 'decide'; readonly height: number; readonly round: number; readonly blockHash: Hex; readonly commit: Commit }
  /** Somebody broke the rules and this proves it. MAY come again after a restart. */
  | { readonly kind: 'evidence'; readonly evidence: Evidence }
  /**
   * A quorum committed a block that is invalid here: more than a third of the weight is faulty, or this node's execution is. MUST stop
   * the node and tell its operator. The machine does nothing any more.
   */
  | { readonly kind: 'halt'; readonly height: number; readonly blockHash: Hex; readonly commit: Commit }
