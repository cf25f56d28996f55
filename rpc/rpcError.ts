/**
 * Errors as clients see them: standard codes, the messages that wallets and libraries look for, and facts under `data`.
 * -32700, -32600, -32601, -32602: JSON-RPC 2.0. -32000 to -32005: EIP-1474. 3: execution reverted, with its data. Spec: docs/spec/rpc.md#errors
 */
import type { Rejection } from '../execution/native/nativeType.ts'
import { factsToJson, type Json } from './quantity.ts'

/** Codes of errors. */
export const RPC_ERROR = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** A transaction or call was refused. */
  rejected: -32000,
  /** There is no such block. */
  notFound: -32001,
  /** It was there, and this node no longer has it. */
  unavailable: -32002,
  /** More than the server gives one client. */
  limitExceeded: -32005,
  reverted: 3,
} as const

/** An answer that is an error. Thrown by methods, because the dispatcher demands it; the server stays up. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: number
  readonly data: Json | undefined

  constructor(code: number, message: string, data?: Json) {
    super(message)
    this.code = code
    this.data = data
  }
}

/** Words for the reasons by which a pool or the EVM refuses, as geth says them: ethers and viem look for exactly these. */
const MESSAGES: Readonly<Record<string, string>> = {
  alreadyKnown: 'already known',
  nonceTooLow: 'nonce too low',
  nonceTooHigh: 'nonce too high',
  insufficientFunds: 'insufficient funds for gas * price + value',
  replacementUnderpriced: 'replacement transaction underpriced',
  feeTooLow: 'max fee per gas less than block base fee',
  gasTooLow: 'intrinsic gas too low',
  blockGasExceeded: 'exceeds block gas limit',
  poolFull: 'txpool is full',
  senderFull: 'too many transactions of the sender wait in the pool',
  senderNotEoa: 'sender not an eoa',
  oversizedTransaction: 'oversized data',
  emptyTransaction: 'the transaction is empty',
  malformedTransaction: 'malformed transaction',
  unknownType: 'transaction type not supported',
  blobTransaction: 'transaction type not supported: blobs belong on L1',
  depositNotAccepted: 'transaction type not supported: deposits come from L1',
  reportNotAccepted: 'transaction type not supported: evidence comes from who proposes a block',
  wrongChain: 'invalid chain id for signer',
  badSignature: 'invalid sender',
}

/** The words for a reason, if it is one of those. */
export function wordsFor(code: string): string | undefined {
  return MESSAGES[code]
}

/** What a refused transaction answers: geth's words where it has some, the rule's name and its facts under `data`. */
export function rejectionError(rejection: Rejection): RpcError {
  const { ok: _ok, invalid: _invalid, code, ...facts } = rejection
  const message = wordsFor(code) ?? `transaction rejected: ${code}`
  return new RpcError(RPC_ERROR.rejected, message, factsToJson({ code, ...facts }))
}

/** A call asks for something that does not exist. */
export function notFound(what: string, facts: Readonly<Record<string, unknown>>): RpcError {
  return new RpcError(RPC_ERROR.notFound, what, factsToJson(facts))
}

/** A client wants more than one client gets. */
export function limitExceeded(message: string, facts: Readonly<Record<string, unknown>>): RpcError {
  return new RpcError(RPC_ERROR.limitExceeded, message, factsToJson(facts))
}
