/**
 * The door for transaction bytes: first byte → Ethereum type, native type or deposit; hash and sender.
 * Spec: docs/spec/transactions.md#types
 */
import type { Common } from '@ethereumjs/common'
import { createTxFromRLP, getMinimumGasLimit, type TypedTransaction } from '@ethereumjs/tx'
import type { Hex } from 'viem'
import { LIMIT, TX_TYPE } from '../genesis/params.ts'
import { type Deposit, decodeDeposit } from './deposit.ts'
import { checkSigned, decodeNative, nativeGas, nativeTypeOf, type SignedNative, transactionHash } from './native/native.ts'
import { invalid, type Rejection } from './native/nativeType.ts'

type Identity = {
  readonly raw: Uint8Array
  readonly hash: Hex
  readonly sender: Hex /** First byte, 0 for legacy. */
  readonly type: number
}

export type EthereumTx = Identity & { readonly kind: 'ethereum'; readonly tx: TypedTransaction }
export type NativeTx = Identity & { readonly kind: 'native'; readonly native: SignedNative; readonly gas: bigint }
export type DepositTx = Identity & { readonly kind: 'deposit'; readonly deposit: Deposit }

/** A transaction whose bytes and signature were checked; nothing is said about state. */
export type Tx = EthereumTx | NativeTx | DepositTx

/** Decodes and checks what needs no state: shape, chain, signature, the type's own bounds. Rejections are all `invalid`. */
export function decodeTx(raw: Uint8Array, common: Common): { readonly ok: true; readonly tx: Tx } | Rejection {
  const first = raw[0]
  if (first === undefined) return invalid('emptyTransaction')
  if (raw.length > LIMIT.txBytes) return invalid('oversizedTransaction', { bytes: raw.length, max: LIMIT.txBytes })
  if (first === 0x03) return invalid('blobTransaction')
  if (first === TX_TYPE.deposit) return decodeDepositTx(raw)
  if (nativeTypeOf(first)) return decodeNativeTx(raw, Number(common.chainId()))
  if (first === 0x01 || first === 0x02 || first === 0x04 || first >= 0xc0) return decodeEthereumTx(raw, common)
  return invalid('unknownType', { type: first })
}

function decodeDepositTx(raw: Uint8Array): { ok: true; tx: DepositTx } | Rejection {
  const deposit = decodeDeposit(raw)
  if (!deposit) return invalid('malformedTransaction', { type: TX_TYPE.deposit })
  return { ok: true, tx: { kind: 'deposit', raw, hash: transactionHash(raw), sender: deposit.from, type: TX_TYPE.deposit, deposit } }
}

function decodeNativeTx(raw: Uint8Array, chainId: number): { ok: true; tx: NativeTx } | Rejection {
  const native = decodeNative(raw)
  if (!native) return invalid('malformedTransaction', { type: raw[0] })
  if (native.chainId !== chainId) return invalid('wrongChain', { got: native.chainId, want: chainId })
  const checked = checkSigned(native)
  if (!checked.ok) return checked
  return {
    ok: true,
    tx: { kind: 'native', raw, hash: transactionHash(raw), sender: checked.sender, type: native.type.byte, native, gas: nativeGas(native) },
  }
}

/** The same for Ethereum's types alone, blob transactions among them: what Ethereum's rules of this fork let through. */
export function decodeEthereumTx(raw: Uint8Array, common: Common): { readonly ok: true; readonly tx: EthereumTx } | Rejection {
  try {
    const tx = createTxFromRLP(raw, { common, freeze: false })
    if (!tx.isSigned()) return invalid('badSignature')
    const flaw = looseness(tx, raw)
    if (flaw) return invalid('malformedTransaction', { type: raw[0], reason: flaw })
    const least = getMinimumGasLimit(tx)
    if (tx.gasLimit < least) return invalid('gasTooLow', { got: tx.gasLimit, want: least })
    const publicKey = recoverKey(tx)
    if (!publicKey) return invalid('badSignature')
    // The library would recover it anew for each of validation, sender and execution: it keeps it for frozen transactions alone.
    tx.cache.senderPubKey = publicKey
    const errors = tx.getValidationErrors()
    if (errors.length > 0) return invalid('invalidTransaction', { reason: errors.join('; ') })
    const sender = tx.getSenderAddress().toString().toLowerCase() as Hex
    return {
      ok: true,
      tx: { kind: 'ethereum', raw, hash: transactionHash(raw), sender, type: (raw[0] ?? 0) >= 0xc0 ? 0 : (raw[0] ?? 0), tx },
    }
  } catch (error) {
    // The library throws plain errors for everything that the bytes can do wrong; its message is all that says what.
    return invalid('malformedTransaction', { type: raw[0], reason: error instanceof Error ? error.message : String(error) })
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

function recoverKey(tx: TypedTransaction): Uint8Array | undefined {
  try {
    return tx.getSenderPublicKey()
  } catch {
    return undefined // the library throws for a signature that no key made, and for nothing else
  }
}
