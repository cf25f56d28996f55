/**
 * Times of the machine, as values: it has no clock. Timers are effects, fired timers are inputs, and the time at which a proposal came
 * in is part of that input. Spec: docs/spec/consensus.md#time
 */

/** What a timer is for: the three waits of a round, and saying again what others may have missed. */
export type Timer = 'propose' | 'prevote' | 'precommit' | 'rebroadcast'

/**
 * Lengths in milliseconds. The first five may differ between nodes (slower timers cost time, never safety). The last two are judgement
 * about other clocks and belong to the network: validators that differ in them vote differently on the same block.
 */
export type Timing = {
  readonly proposeMs: number
  readonly prevoteMs: number
  readonly precommitMs: number
  readonly rebroadcastMs: number
  readonly timeoutMaxMs: number
  /** How far two correct clocks are apart at most. */
  readonly precisionMs: number
  /** How long a proposal travels at most. */
  readonly messageDelayMs: number
}

/** For a network that spans continents. */
export const DEFAULT_TIMING: Timing = {
  proposeMs: 800,
  prevoteMs: 300,
  precommitMs: 300,
  rebroadcastMs: 500,
  timeoutMaxMs: 10_000,
  precisionMs: 500,
  messageDelayMs: 2_000,
}

/** Length of a timer. Each round waits half as long again as round 0, up to the maximum, so that rounds come to overlap everywhere. */
export function timeoutMs(timing: Timing, timer: Timer, round: number): number {
  if (timer === 'rebroadcast') return timing.rebroadcastMs
  const baseMs = { propose: timing.proposeMs, prevote: timing.prevoteMs, precommit: timing.precommitMs }[timer]
  return Math.min(timing.timeoutMaxMs, baseMs + Math.floor((baseMs * round) / 2))
}

/**
 * True if a fresh block's time fits the time at which its proposal came in: not from the future by more than the precision, not older
 * than precision and message delay, where the delay grows by a tenth each round, lest a network slower than assumed never decides.
 * Source: CometBFT spec, "Proposer-Based Timestamps", predicate `timely`.
 */
export function isTimely(timing: Timing, proposal: { timestampMs: number; receivedMs: number; round: number }): boolean {
  const { timestampMs, receivedMs, round } = proposal
  const delayMs = timing.messageDelayMs + Math.floor((timing.messageDelayMs * round) / 10)
  return receivedMs >= timestampMs - timing.precisionMs && receivedMs <= timestampMs + delayMs + timing.precisionMs
}
