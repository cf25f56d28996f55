/** How L1 fails, sorted by what helps. */

/**
 * `retry`: the same question may be answered later (network, rate limit, a block or blob that is not there yet).
 * `reset`: what was asked about is no longer on the canonical chain; walk back to a block that is, and go on from there.
 * `stop`: no repetition helps; somebody has to look (wrong network, wrong address, contradictory data).
 */
export type L1ErrorKind = 'retry' | 'reset' | 'stop'

/** Thrown by everything that talks to L1. `retryable` holds for kind `retry` only. */
export class L1Error extends Error {
  override readonly name = 'L1Error'
  readonly kind: L1ErrorKind
  readonly retryable: boolean

  constructor(message: string, options: { readonly kind: L1ErrorKind; readonly cause?: unknown }) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.kind = options.kind
    this.retryable = options.kind === 'retry'
  }
}
