/**
 * The door for transaction bytes: first byte → Ethereum type, native type, deposit or report of evidence; hash and sender.
 * Spec: docs/spec/transactions.md#types
 */
import type { Common } from '@ethereumjs/common'
import { Capability, createTxFromRLP, getMinimumGasLimit, type TypedTransaction } from '@ethereumjs/tx'
import { type Hex, numberToBytes } from 'viem'
import { LIMIT, SYSTEM_SENDER, TX_TYPE } from '../genesis/params.ts'
import { assert } from './assert.ts'
import { type Deposit, decodeDeposit } from './deposit.ts'
import {
  checkSignatures,
  decodeNative,
  nativeGas,
  nativeTypeOf,
  type SignedNative,
  signaturesOf,
  transactionHash,
} from './native/native.ts'
import { invalid, type Rejection } from './native/nativeType.ts'
import { type RecoverAll, recoverSignatory, type Signatory, type SignedDigest } from './recover.ts'
import { decodeReport, type Report } from './report.ts'

type Identity = {
  readonly raw: Uint8Array
  readonly hash: Hex
  readonly sender: Hex /** First byte, 0 for legacy. */
  readonly type: number
}

export type EthereumTx = Identity & { readonly kind: 'ethereum'; readonly tx: TypedTransaction }
export type NativeTx = Identity & { readonly kind: 'native'; readonly native: SignedNative; readonly gas: bigint }
export type DepositTx = Identity & { readonly kind: 'deposit'; readonly deposit: Deposit }
export type ReportTx = Identity & { readonly kind: 'report'; readonly report: Report }

/** A transaction whose bytes and signature were checked; nothing is said about state. */
export type Tx = EthereumTx | NativeTx | DepositTx | ReportTx

/** A transaction of which its signatures are not checked yet. */
export type ReadTx<T extends Tx = Tx> = {
  readonly ok: true
  readonly hash: Hex
  /** What is to be recovered: the sender's signature, then those of others that it carries. */
  signed(): readonly SignedDigest[]
  /** The transaction if all is well. `found`: who made the signatures of `signed`; recovered here, after cheaper checks, if not given. */
  conclude(found?: readonly (Signatory | undefined)[]): { readonly ok: true; readonly tx: T } | Rejection
}

/** Decodes and checks what needs no state: shape, chain, signatures, the type's own bounds. Rejections are all `invalid`. */
export function decodeTx(raw: Uint8Array, common: Common): { readonly ok: true; readonly tx: Tx } | Rejection {
  const read = readTx(raw, common)
  return read.ok ? read.conclude() : read
}

/** `decodeTx` but for the signatures, which are for the caller to recover, many at once perhaps. */
export function readTx(raw: Uint8Array, common: Common): ReadTx | Rejection {
  const first = raw[0]
  if (first === undefined) return invalid('emptyTransaction')
  if (raw.length > LIMIT.txBytes) return invalid('oversizedTransaction', { bytes: raw.length, max: LIMIT.txBytes })
  if (first === 0x03) return invalid('blobTransaction')
  if (first === TX_TYPE.deposit) return readDepositTx(raw)
  if (first === TX_TYPE.evidenceReport) return readReportTx(raw)
  if (nativeTypeOf(first)) return readNativeTx(raw, Number(common.chainId()))
  if (first === 0x01 || first === 0x02 || first === 0x04 || first >= 0xc0) return readEthereumTx(raw, common)
  return invalid('unknownType', { type: first })
}

/** `decodeTx` of a block's transactions, their signatures recovered together where somebody does that; the rejection of one has its index. */
export async function decodeTxs(
  raws: readonly Uint8Array[],
  common: Common,
  recover: RecoverAll | undefined,
): Promise<{ readonly ok: true; readonly transactions: readonly Tx[] } | (Rejection & { readonly index: number })> {
  const reads: ReadTx[] = []
  for (const [index, raw] of raws.entries()) {
    const read = readTx(raw, common)
    if (!read.ok) return { ...read, index }
    reads.push(read)
  }
  const signed = recover && reads.map((read) => read.signed())
  const found = signed && (await recover(signed.flat()))
  const transactions: Tx[] = []
  let at = 0
  for (const [index, read] of reads.entries()) {
    const count = signed?.[index]?.length ?? 0
    const result = read.conclude(found?.slice(at, at + count))
    if (!result.ok) return { ...result, index }
    at += count
    transactions.push(result.tx)
  }
  return { ok: true, transactions }
}

/** What `readTx` found out of a transaction, and who signed it: enough to take its bytes for what they are without checking or hashing them again. */
export type CheckedTx = {
  readonly raw: Uint8Array
  readonly hash: Hex
  readonly sender: Hex
  /** The sender's, of a transaction of Ethereum's types: the library asks for it again and again. */
  readonly publicKey?: Uint8Array | undefined
}

/**
 * The transaction that somebody of ours, on another thread perhaps, read from these very bytes and found to be well. Nothing is checked again: never for
 * what comes from outside.
 */
export function takeTx({ raw, hash, sender, publicKey }: CheckedTx, common: Common): NativeTx | EthereumTx {
  const type = raw[0] ?? 0
  if (nativeTypeOf(type)) {
    const native = decodeNative(raw)
    assert(native, 'a transaction that was read cannot be read')
    return { kind: 'native', raw, hash, sender, type, native, gas: nativeGas(native) }
  }
  const tx = createTxFromRLP(raw, { common, freeze: false })
  if (publicKey) tx.cache.senderPubKey = publicKey
  return { kind: 'ethereum', raw, hash, sender, type: type >= 0xc0 ? 0 : type, tx }
}

function readDepositTx(raw: Uint8Array): ReadTx | Rejection {
  const deposit = decodeDeposit(raw)
  if (!deposit) return invalid('malformedTransaction', { type: TX_TYPE.deposit })
  const tx: DepositTx = { kind: 'deposit', raw, hash: transactionHash(raw), sender: deposit.from, type: TX_TYPE.deposit, deposit }
  return { ok: true, hash: tx.hash, signed: () => [], conclude: () => ({ ok: true, tx }) }
}

function readReportTx(raw: Uint8Array): ReadTx | Rejection {
  const report = decodeReport(raw)
  if (!report) return invalid('malformedTransaction', { type: TX_TYPE.evidenceReport })
  const tx = reportTx(raw, report)
  return { ok: true, hash: tx.hash, signed: () => [], conclude: () => ({ ok: true, tx }) }
}

/** A report as a transaction: of the system, as what L1 says of itself is. */
export function reportTx(raw: Uint8Array, report: Report): ReportTx {
  return { kind: 'report', raw, hash: transactionHash(raw), sender: SYSTEM_SENDER, type: TX_TYPE.evidenceReport, report }
}

function readNativeTx(raw: Uint8Array, chainId: number): ReadTx | Rejection {
  const native = decodeNative(raw)
  if (!native) return invalid('malformedTransaction', { type: raw[0] })
  if (native.chainId !== chainId) return invalid('wrongChain', { got: native.chainId, want: chainId })
  const refused = native.type.checkFields(native.fields)
  if (refused) return refused
  const hash = transactionHash(raw)
  return {
    ok: true,
    hash,
    signed: () => signaturesOf(native),
    conclude(found) {
      const checked = checkSignatures(
        native,
        found?.map((one) => one?.address),
      )
      if (!checked.ok) return checked
      return { ok: true, tx: { kind: 'native', raw, hash, sender: checked.sender, type: native.type.byte, native, gas: nativeGas(native) } }
    },
  }
}

/** The same for Ethereum's types alone, blob transactions among them: what Ethereum's rules of this fork let through. */
export function decodeEthereumTx(raw: Uint8Array, common: Common): { readonly ok: true; readonly tx: EthereumTx } | Rejection {
  const read = readEthereumTx(raw, common)
  return read.ok ? read.conclude() : read
}

function readEthereumTx(raw: Uint8Array, common: Common): ReadTx<EthereumTx> | Rejection {
  // The library throws plain errors for everything that the bytes can do wrong; its message is all that says what.
  const malformed = (error: unknown) =>
    invalid('malformedTransaction', { type: raw[0], reason: error instanceof Error ? error.message : String(error) })
  try {
    const tx = createTxFromRLP(raw, { common, freeze: false })
    if (!tx.isSigned()) return invalid('badSignature')
    const flaw = looseness(tx, raw)
    if (flaw) return invalid('malformedTransaction', { type: raw[0], reason: flaw })
    const least = getMinimumGasLimit(tx)
    if (tx.gasLimit < least) return invalid('gasTooLow', { got: tx.gasLimit, want: least })
    const signed = signatureOf(tx)
    if (!signed) return invalid('badSignature')
    const hash = transactionHash(raw)
    const type = (raw[0] ?? 0) >= 0xc0 ? 0 : (raw[0] ?? 0)
    return {
      ok: true,
      hash,
      signed: () => [signed],
      conclude(found = [recoverSignatory(signed)]) {
        const [signatory] = found
        if (!signatory) return invalid('badSignature')
        // The library would recover it anew for each of validation, sender and execution: it keeps it for frozen transactions alone.
        tx.cache.senderPubKey = signatory.publicKey
        try {
          const errors = tx.getValidationErrors()
          if (errors.length > 0) return invalid('invalidTransaction', { reason: errors.join('; ') })
        } catch (error) {
          return malformed(error)
        }
        return { ok: true, tx: { kind: 'ethereum', raw, hash, sender: signatory.address, type, tx } }
      },
    }
  } catch (error) {
    return malformed(error)
  }
}

/** What the library lets through although Ethereum has one encoding for one transaction, and only lists where it says lists. */
function looseness(tx: TypedTransaction, raw: Uint8Array): string | undefined {
  if ('accessList' in tx && !isAccessList(tx.accessList)) return 'access list'
  if ('authorizationList' in tx && !Array.isArray(tx.authorizationList)) return 'authorization list'
  if ('blobVersionedHashes' in tx && !tx.blobVersionedHashes.every((hash) => hash.startsWith('0x01'))) return 'versioned hash'
  return sameBytes(tx.serialize(), raw) ? undefined : 'not its own encoding'
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function isAccessList(list: unknown): boolean {
  const isBytes = (item: unknown, length: number) => item instanceof Uint8Array && item.length === length
  return (
    Array.isArray(list) &&
    list.every(([address, slots]) => isBytes(address, 20) && Array.isArray(slots) && slots.every((slot) => isBytes(slot, 32)))
  )
}

/** What the sender signed, and how; undefined: nobody's signature looks like that. Source: EIP-155 for legacy transactions' v. */
function signatureOf(tx: TypedTransaction): SignedDigest | undefined {
  const { v, r, s } = tx
  if (v === undefined || r === undefined || s === undefined || r >= 2n ** 256n || s >= 2n ** 256n) return undefined
  const isPlain = v === 0n || v === 1n || !tx.supports(Capability.EIP155ReplayProtection)
  const yParity = isPlain ? (v < 2n ? v : v - 27n) : v - (tx.common.chainId() * 2n + 35n)
  if (yParity !== 0n && yParity !== 1n) return undefined
  const signature = { yParity: yParity === 1n ? 1 : 0, r: numberToBytes(r, { size: 32 }), s: numberToBytes(s, { size: 32 }) } as const
  return { digest: tx.getMessageToVerifySignature(), signature }
}
