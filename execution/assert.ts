/**
 * Stops the process when we, and nobody else, were wrong. Not node:assert, because codecs also run in a browser. On a hot path a message that has to be put
 * together stands behind an `if`: it would be, whether anything is wrong or not.
 */
export function assert(condition: unknown, message = 'assertion failed'): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** A broken promise of our own code. Nothing may catch it and go on. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}
