/**
 * Transactions that we send to L1: EIP-1559, and EIP-4844 in the form that pools take since EIP-7594.
 * Wire: 0x02 ‖ rlp(body), or 0x03 ‖ rlp([body, 0x01, blobs, commitments, cell proofs]); the hash is that of type ‖ rlp(body) in both cases.
 */
import { type NestedUint8Array, RLP } from '@ethereumjs/rlp'
import { bytesToHex, concatBytes, type Hex, hexToBytes, parseSignature, parseTransaction, serializeTransaction } from 'viem'
import { assert } from '../execution/assert.ts'
import { keccak256 } from '../execution/keccak.ts'
import { type Sidecar, versionedHash } from './kzg.ts'

/** Version of the blob wrapper: 1 means cell proofs. viem writes only version 0, which no pool takes any more. Source: EIP-7594. */
const WRAPPER_VERSION = 1

/** Fees in wei per gas: what is paid at most, what of it is a tip, and what is paid at most per blob gas (0 without blobs). */
export type L1Fees = { readonly maxFeeWei: bigint; readonly tipWei: bigint; readonly maxBlobFeeWei: bigint }

/** A transaction of ours. No value is ever sent. */
export type L1Tx = {
  readonly chainId: number
  readonly nonce: bigint
  readonly to: Hex
  readonly data: Hex
  readonly gas: bigint
  readonly fees: L1Fees
  readonly sidecar: Sidecar | undefined
}

/** Who signs: an address and its key, or something that asks elsewhere. viem's local accounts are of this shape. */
export type L1Signer = { readonly address: Hex; sign(parameters: { readonly hash: Hex }): Promise<Hex> }

/** Signs the transaction. `raw` is what eth_sendRawTransaction takes. */
export async function signTx(signer: L1Signer, tx: L1Tx): Promise<{ readonly raw: Hex; readonly hash: Hex }> {
  const unsigned = toViem(tx)
  const signature = parseSignature(await signer.sign({ hash: hashOf(serializeTransaction(unsigned)) }))
  const signed = serializeTransaction(unsigned, signature)
  return { raw: tx.sidecar ? wrap(signed, tx.sidecar) : signed, hash: hashOf(signed) }
}

/** The transaction that `signTx` has made these bytes of. */
export function parseTx(raw: Hex): L1Tx {
  const { signed, sidecar } = unwrap(raw)
  const { chainId, nonce, to, data, gas, maxFeePerGas, maxPriorityFeePerGas, ...rest } = parseTransaction(signed)
  assert(to && gas !== undefined && maxFeePerGas !== undefined, 'a transaction that signTx did not make')
  const maxBlobFeeWei = 'maxFeePerBlobGas' in rest ? (rest.maxFeePerBlobGas ?? 0n) : 0n
  const fees = { maxFeeWei: maxFeePerGas, tipWei: maxPriorityFeePerGas ?? 0n, maxBlobFeeWei }
  return { chainId: chainId ?? 0, nonce: BigInt(nonce ?? 0), to, data: data ?? '0x', gas, fees, sidecar }
}

function toViem({ chainId, nonce, to, data, gas, fees, sidecar }: L1Tx) {
  const common = { chainId, nonce: Number(nonce), to, data, gas, maxFeePerGas: fees.maxFeeWei, maxPriorityFeePerGas: fees.tipWei }
  if (!sidecar) return { ...common, type: 'eip1559' } as const
  return { ...common, type: 'eip4844', maxFeePerBlobGas: fees.maxBlobFeeWei, blobVersionedHashes: [...sidecar.versionedHashes] } as const
}

function hashOf(bytes: Hex): Hex {
  return bytesToHex(keccak256(hexToBytes(bytes)))
}

function wrap(signed: Hex, { blobs, commitments, proofs }: Sidecar): Hex {
  const body = RLP.decode(hexToBytes(signed).subarray(1))
  const wrapped = RLP.encode([body, Uint8Array.of(WRAPPER_VERSION), [...blobs], [...commitments], [...proofs]])
  return bytesToHex(concatBytes([Uint8Array.of(0x03), wrapped]))
}

function unwrap(raw: Hex): { signed: Hex; sidecar: Sidecar | undefined } {
  if (!raw.startsWith('0x03')) return { signed: raw, sidecar: undefined }
  const items = RLP.decode(hexToBytes(raw).subarray(1))
  assert(Array.isArray(items) && items.length === 5, 'a transaction that signTx did not make')
  const [body, , blobs, commitments, proofs] = items
  const signed = bytesToHex(concatBytes([Uint8Array.of(0x03), RLP.encode(body)]))
  const sidecar = { blobs: byteStrings(blobs), commitments: byteStrings(commitments), proofs: byteStrings(proofs) }
  return { signed, sidecar: { ...sidecar, versionedHashes: sidecar.commitments.map(versionedHash) } }
}

function byteStrings(item: Uint8Array | NestedUint8Array | undefined): Uint8Array[] {
  assert(Array.isArray(item), 'a transaction that signTx did not make')
  return item.map((bytes) => {
    assert(bytes instanceof Uint8Array, 'a transaction that signTx did not make')
    return bytes
  })
}
