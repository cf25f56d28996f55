/** How L1 fails, sorted by what helps. */

/**
 * `retry`: the same question may be answered later (network, rate limit, a block or blob that is not there yet).
 * `reset`: what was asked about is no longer on the canonical chain; walk back to a block that is, and go on from there.
 * `stop`: no repetition helps; somebody has to look (wrong network, wrong address, contradictory data).
 */
export type L1ErrorKind = 'retry' | 'reset' | 'stop'

/** What an L1 node answered in place of a result: a JSON-RPC error, `details` being its message. */
export type L1Refusal = { readonly code: number; readonly details: string; readonly data: unknown }

/** Thrown by everything that talks to L1. `retryable` holds for kind `retry` only. */
export class L1Error extends Error {
  override readonly name = 'L1Error'
  readonly kind: L1ErrorKind
  readonly retryable: boolean
  /** Undefined where the node did not answer at all, or nobody asked it. */
  readonly refusal: L1Refusal | undefined

  constructor(message: string, { kind, refusal }: { readonly kind: L1ErrorKind; readonly refusal?: L1Refusal | undefined }) {
    super(message)
    this.kind = kind
    this.retryable = kind === 'retry'
    this.refusal = refusal
  }
}
