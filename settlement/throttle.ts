/**
 * How full blocks may be while what is not on L1 grows: a chain that is made faster than it can be posted would lose all that is not posted with its
 * validators. Policy of whoever proposes, and nobody else's to check. Spec: docs/spec/batch.md#backlog
 */
import { BATCH_PAYLOAD_BYTES_MAX } from './blob.ts'

/** Bytes of blocks that are not on L1 from which on blocks are smaller: six full batches. */
export const BACKLOG_HIGH_BYTES = 6 * BATCH_PAYLOAD_BYTES_MAX
/** And below which they are not any more: between the two it stays as it was. */
export const BACKLOG_LOW_BYTES = BACKLOG_HIGH_BYTES / 2
/** From here on they are as small as they get. */
export const BACKLOG_FULL_BYTES = 4 * BACKLOG_HIGH_BYTES
/** The least part of a block: what L1 demands, deposits and evidence, is in no case held back. */
export const SHARE_MIN = 1 / 64

export type Throttle = {
  readonly isOn: boolean
  /** Part of a block's bytes that are filled from the pool, from `SHARE_MIN` to 1. */
  readonly share: number
}

/** Before there was a backlog. */
export const NO_THROTTLE: Throttle = { isOn: false, share: 1 }

/** What holds with so many bytes unposted, after `before`: the more there are, the smaller are blocks, in proportion. */
export function nextThrottle({ isOn: wasOn }: Throttle, backlogBytes: number): Throttle {
  const isOn = backlogBytes >= (wasOn ? BACKLOG_LOW_BYTES : BACKLOG_HIGH_BYTES)
  if (!isOn) return NO_THROTTLE
  const left = (BACKLOG_FULL_BYTES - backlogBytes) / (BACKLOG_FULL_BYTES - BACKLOG_LOW_BYTES)
  return { isOn, share: Math.min(1, Math.max(SHARE_MIN, left)) }
}
