/** What this room throws. */

/** The network cannot do what it was started or asked for. */
export class P2pError extends Error {
  override readonly name = 'P2pError'
  readonly retryable = false
}
