/**
 * What one client may cost: every bound of the JSON-RPC server, with its default, and the token bucket that holds a connection to its rate.
 * Operators tune them (node/config). Spec: docs/spec/rpc.md#limits
 */

/** Bounds of a server. Times in milliseconds. */
export type RpcLimits = {
  /** Bytes of one request body or WebSocket message. A transaction of the largest size is a quarter of the default. */
  readonly bodyBytes: number
  /** Calls in one batch. */
  readonly batchCalls: number
  /** How deep a body's arrays and objects nest. */
  readonly jsonDepth: number
  /** Bytes of the answer to one body; what a batch asks beyond them is refused. */
  readonly responseBytes: number
  /** Sockets open at once, HTTP and WebSocket together. */
  readonly connections: number
  /** Calls of one connection that are being answered. */
  readonly callsInFlight: number
  /** Calls of one connection a second, on average; as many may come at once. */
  readonly callsPerSec: number
  /** Calls of one address a second, over all its connections; loopback is not counted. */
  readonly callsPerSecOfAddress: number
  /** Connections of one address; loopback is not counted. */
  readonly connectionsOfAddress: number
  /** Characters of the bodies that are being answered, of all connections together. */
  readonly bytesInFlight: number
  /** Time in which a request must have arrived in full. */
  readonly requestMs: number
  /** Time after which a connection that says nothing is closed; a WebSocket is asked for a sign of life twice in it. */
  readonly idleMs: number
  /** Bytes that may wait for a WebSocket client that reads too slowly. */
  readonly unsentBytes: number
  /** Subscriptions of one WebSocket connection. */
  readonly subscriptions: number
  /** Filters of all clients together. */
  readonly filters: number
  /** Time after which a filter that nobody asks is forgotten. */
  readonly filterMs: number
  /** Hashes of waiting transactions that are kept for filters. */
  readonly pendingHashes: number
  /** Blocks that one query for logs may span. */
  readonly logBlocks: number
  /** Logs that one query may give. */
  readonly logResults: number
  /** Addresses, or alternatives of a topic, in one filter. */
  readonly logAlternatives: number
  /** Blocks that one fee history may span. */
  readonly feeHistoryBlocks: number
  /** Slots in one proof or storage request. */
  readonly slots: number
  /** Accounts whose state one call may override. */
  readonly overrides: number
  /** Records in one list of the ledger's. */
  readonly records: number
  /** Waiting transactions that one answer tells of. */
  readonly poolTransactions: number
  /** Transactions that a page of Otterscan's may ask for. */
  readonly pageTransactions: number
  /** Transactions of one address that a page may give, since it holds whole blocks. */
  readonly searchTransactions: number
}

/** Bounds of a server whose operator says nothing. */
export const RPC_LIMITS: RpcLimits = {
  bodyBytes: 1_048_576,
  batchCalls: 100,
  jsonDepth: 32,
  responseBytes: 33_554_432,
  connections: 512,
  callsInFlight: 256,
  callsPerSec: 10_000,
  callsPerSecOfAddress: 20_000,
  connectionsOfAddress: 128,
  bytesInFlight: 67_108_864,
  requestMs: 15_000,
  idleMs: 60_000,
  unsentBytes: 16_777_216,
  subscriptions: 64,
  filters: 1_024,
  filterMs: 300_000,
  pendingHashes: 16_384,
  logBlocks: 10_000,
  logResults: 10_000,
  logAlternatives: 1_024,
  feeHistoryBlocks: 1_024,
  slots: 1_024,
  overrides: 1_024,
  records: 100,
  poolTransactions: 4_096,
  pageTransactions: 100,
  searchTransactions: 1_024,
}

/** A bucket of tokens that fills at a steady rate. */
export type TokenBucket = {
  /** Takes the tokens if all of them are there. */
  take(tokens: number): boolean
}

/** A full bucket of `perSec` tokens that gets as many a second. `now` in milliseconds. */
export function createTokenBucket(perSec: number, now: () => number): TokenBucket {
  let tokens = perSec
  let at = now()
  return {
    take(wanted) {
      const time = now()
      tokens = Math.min(perSec, tokens + (Math.max(0, time - at) * perSec) / 1000)
      at = time
      if (wanted > tokens) return false
      tokens -= wanted
      return true
    },
  }
}
