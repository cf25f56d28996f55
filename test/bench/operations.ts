/**
 * The operations that are measured. All content follows from a seed, so that every run and every peer gets the same, and everything is signed
 * ahead of the clock. An operation is native, or the call of test/bench/contracts/Hub.sol that does the same.
 */
import secp256k1 from 'secp256k1'
import { bytesToHex, concatBytes, type Hex, hexToBytes, numberToBytes, serializeTransaction, stringToBytes } from 'viem'
import { keccak256 } from '../../execution/keccak.ts'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import { LICENCE } from '../../execution/native/datanetCreate.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { modelRegister } from '../../execution/native/modelRegister.ts'
import { encodeNative, signingHash } from '../../execution/native/native.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { type InferenceRequest, requestDigest } from '../../execution/receipt.ts'
import { ENTRY_WEI } from '../../genesis/params.ts'

/** What bench models are allowed to do, and who gets which part of a fee. */
export const USE_FLAGS = LICENCE.train
export const MODEL_SHARES = { ownerBps: 1_000, workerBps: 1_000, contributorBps: 8_000 } as const

/** Somebody with a key. */
export type Signer = { readonly secret: Uint8Array; readonly address: Hex }

/** The account of a key. */
export function signerFrom(secret: Uint8Array): Signer {
  const publicKey = secp256k1.publicKeyCreate(secret, false)
  return { secret, address: bytesToHex(keccak256(publicKey.subarray(1)).subarray(12)) }
}

/** 32 bytes that follow from their name. */
export function seeded(name: string): Uint8Array {
  return keccak256(stringToBytes(`tributary bench 1 ${name}`))
}

/** The account number `i` of those who play this part. */
export function signer(part: string, i: number): Signer {
  return signerFrom(seeded(`key ${part} ${i}`))
}

export function signers(part: string, count: number): Signer[] {
  return Array.from({ length: count }, (_, i) => signer(part, i))
}

/** What native operations refer to. test/bench/stage.ts puts it on a chain. */
export type Stage = {
  readonly chainId: number
  readonly datanetIds: readonly number[]
  /** A model paid by the prompt token, `ENTRY_WEI` each, with the shares of `MODEL_SHARES`. */
  readonly modelId: Hex
  /** Who pays for inference, with a prepaid balance. */
  readonly clients: readonly Signer[]
  /** Ledger indexes, ascending, of the accounts that credits pay. */
  readonly earners: readonly number[]
  /** Who transfers go to. */
  readonly receivers: readonly Hex[]
}

/** Native operations of which one transaction is one. `receipt`: a window of a single inference receipt, no contributor named. */
export const NATIVE_KINDS = ['transfer', 'upload', 'credit1', 'credit10', 'credit100', 'receipt', 'model'] as const
export type NativeKind = (typeof NATIVE_KINDS)[number]

/** Which operation of its kind (that seeds its content), whose, and with which nonce of the sender. */
export type Turn = { readonly number: number; readonly sender: Signer; readonly nonce: bigint }

/** Most that a native operation may pay: enough for any base fee that a bench can lead to. */
const MAX_FEE_WEI = 10n ** 18n

/** The signed bytes of a native operation. Credits are sent by their workers, one nonce after another. */
export function nativeOperation(kind: NativeKind, stage: Stage, turn: Turn): Uint8Array {
  switch (kind) {
    case 'transfer':
      return signNative(turn, { type: transfer, fields: transferFields(stage, turn.number), chainId: stage.chainId })
    case 'upload':
      return signNative(turn, { type: datanetUpload, fields: uploadFields(stage, turn), chainId: stage.chainId })
    case 'model':
      return signNative(turn, {
        type: modelRegister,
        fields: modelFields({ name: `bench-model-${turn.number}`, datanetIds: chooseDatanets(stage.datanetIds, turn.number) }),
        chainId: stage.chainId,
      })
    default: {
      const entries = chooseEntries(stage.earners, entriesOf(kind), turn.number)
      return signNative(turn, { type: attributionCredit, fields: creditFields(stage, turn, entries), chainId: stage.chainId })
    }
  }
}

/** How many entries a credit of this kind has. */
export function entriesOf(kind: string): number {
  return kind.startsWith('credit') ? Number(kind.slice('credit'.length)) : 0
}

/** A signed native transaction. */
export function signNative(
  { sender, nonce }: Pick<Turn, 'sender' | 'nonce'>,
  { type, fields, chainId }: { readonly type: NativeType; readonly fields: FieldValues; readonly chainId: number },
): Uint8Array {
  const unsigned = { type, chainId, nonce, maxFeeWei: MAX_FEE_WEI, fields }
  const { signature, recid } = secp256k1.ecdsaSign(signingHash(unsigned), sender.secret)
  return encodeNative({
    ...unsigned,
    signature: { r: signature.slice(0, 32), s: signature.slice(32), yParity: recid === 1 ? 1 : 0 },
  })
}

/** A call, or without `to` a creation, as a signed EIP-1559 transaction. */
export type Call = { readonly to?: Hex; readonly data?: Hex; readonly valueWei?: bigint; readonly gas: bigint }

export function signCall(
  { sender, nonce }: Pick<Turn, 'sender' | 'nonce'>,
  chainId: number,
  { to, data, valueWei, gas }: Call,
): Uint8Array {
  const unsigned = {
    type: 'eip1559' as const,
    chainId,
    nonce: Number(nonce),
    maxFeePerGas: 100_000_000_000n,
    maxPriorityFeePerGas: 1_000_000n,
    gas,
    value: valueWei ?? 0n,
    ...(to ? { to } : {}),
    ...(data ? { data } : {}),
  }
  const digest = keccak256(hexToBytes(serializeTransaction(unsigned)))
  const { signature, recid } = secp256k1.ecdsaSign(digest, sender.secret)
  const [r, s] = [bytesToHex(signature.subarray(0, 32)), bytesToHex(signature.subarray(32))]
  return hexToBytes(serializeTransaction(unsigned, { r, s, yParity: recid }))
}

function transferFields({ receivers }: Stage, number: number): FieldValues {
  const to = receivers[pick(`transfer ${number}`, receivers.length)]
  return { kind: 0, to, amount: BigInt(1 + number) * ENTRY_WEI }
}

/** Records of the smallest upload, and what a model's snapshot counts of a datanet that has at least one accepted. */
const RECORDS_MIN = 100

/** An upload's content; the same for its twin in the contract. */
export function uploadFields({ datanetIds }: Pick<Stage, 'datanetIds'>, { number, sender }: Pick<Turn, 'number' | 'sender'>) {
  const seed = seeded(`upload ${number}`)
  const recordCount = RECORDS_MIN + (seed[0] ?? 0) * 300
  return {
    datanetId: datanetIds[pick(`upload ${number}`, datanetIds.length)] ?? 0,
    contentRoot: bytesToHex(seed),
    // CIDv1, raw, sha2-256: what a content id usually is.
    contentId: bytesToHex(concatBytes([Uint8Array.of(1, 0x55, 0x12, 0x20), keccak256(seed)])),
    recordCount,
    byteCount: BigInt(recordCount * (200 + 7 * (seed[1] ?? 0))),
    contributors: [{ account: sender.address, shareBps: 10_000, role: 1 }],
  }
}

/** The CID of a content root's own node: whoever has a store of content by hashes finds it there. Source: docs/spec/batch.md#rows */
export function rootContentId(contentRoot: Hex): Hex {
  return `0x01551b20${contentRoot.slice(2)}`
}

/** A model's registration over these datanets, all of it following from its name. */
export function modelFields({ name, datanetIds }: { readonly name: string; readonly datanetIds: readonly number[] }) {
  const seed = seeded(`model ${name}`)
  const hash = (part: string) => bytesToHex(keccak256(concatBytes([seed, stringToBytes(part)])))
  const base = (seed[1] ?? 0) % 20
  const weightBps = Math.floor(10_000 / datanetIds.length)
  return {
    name,
    baseHash: bytesToHex(seeded(`base ${base}`)),
    adapterHash: hash('adapter'),
    tokenizerHash: bytesToHex(seeded(`tokenizer ${base}`)),
    trainingConfigHash: hash('config'),
    runtimeProfileHash: bytesToHex(seeded('profile')),
    useFlags: USE_FLAGS,
    datanets: datanetIds.map((datanetId, i) => ({
      datanetId,
      snapshotRoot: hash(`snapshot ${i}`),
      uploadCount: 1,
      recordCount: RECORDS_MIN,
      weightBps: i === 0 ? 10_000 - weightBps * (datanetIds.length - 1) : weightBps,
    })),
    priceBase: 0n,
    pricePrompt: ENTRY_WEI,
    priceOutput: 3n * ENTRY_WEI,
    ...MODEL_SHARES,
    minStake: 0n,
    maxTier: 0,
  }
}

/** One to eight datanets. Seven is coprime to their count, so that none stands there twice. */
export function chooseDatanets(datanetIds: readonly number[], number: number): number[] {
  const name = `model ${number}`
  const first = pick(name, datanetIds.length)
  return Array.from({ length: 1 + pick(`${name} count`, 8) }, (_, i) => datanetIds[(first + 7 * i) % datanetIds.length] ?? 0)
}

/** What a credit gives to whom: ledger indexes ascending, gwei of OPEN. */
export type Entries = { readonly accounts: readonly number[]; readonly amountsGwei: readonly number[] }

/** A draw out of the earners that is skewed as life is: some of them earn often. */
export function chooseEntries(earners: readonly number[], count: number, number: number): Entries {
  if (count > earners.length) throw new Error(`${count} entries of ${earners.length} earners`)
  const chosen = new Map<number, number>()
  for (let i = 0; chosen.size < count; i++) {
    const bytes = seeded(`entry ${number} ${i}`)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at < 32 && chosen.size < count; at += 8) {
      const place = Math.floor(earners.length * (view.getUint32(at) / 2 ** 32) ** 2)
      const earner = earners[(place + (i > 4 * count ? i : 0)) % earners.length] ?? 0 // ends: a draw that keeps hitting the same moves on
      if (!chosen.has(earner)) chosen.set(earner, 1 + (view.getUint32(at + 4) >>> 4))
    }
  }
  const sorted = [...chosen].sort(([a], [b]) => a - b)
  return { accounts: sorted.map(([account]) => account), amountsGwei: sorted.map(([, amountGwei]) => amountGwei) }
}

/** One window of one receipt of the sender's, drawn from one client, whose fee is enough for the entries. */
export function creditFields(stage: Stage, { number, sender, nonce }: Turn, { accounts, amountsGwei }: Entries) {
  const entriesGwei = amountsGwei.reduce((sum, amountGwei) => sum + amountGwei, 0)
  // Contributors get 80 % of what the protocol's 2 % leave.
  const promptTokens = BigInt(Math.ceil(entriesGwei * 1.3) + 50 + (number % 8_000))
  const client = stage.clients[number % stage.clients.length]
  if (!client) throw new Error('the stage has no clients')
  const seed = seeded(`credit ${number}`)
  return {
    worker: sender.address,
    modelId: stage.modelId,
    firstSeq: nonce + 1n,
    count: 1,
    receiptsRoot: bytesToHex(seed),
    attributionRoot: bytesToHex(keccak256(seed)),
    promptTokens,
    outputTokens: 0n,
    draws: [drawOf(stage, client, { worker: sender.address, number, amount: promptTokens * ENTRY_WEI })],
    accounts,
    amountsGwei,
  }
}

/** A client's latest signed request, which is the voucher, and what is drawn on it. */
export function drawOf(
  { chainId, modelId }: Stage,
  client: Signer,
  { worker, number, amount }: { readonly worker: Hex; readonly number: number; readonly amount: bigint },
) {
  const request: InferenceRequest = {
    client: client.address,
    worker,
    modelId,
    promptCommit: bytesToHex(seeded(`prompt ${number}`)),
    paramsHash: bytesToHex(seeded('parameters')),
    seed: BigInt(number),
    maxOutputTokens: 2_000,
    maxFee: amount,
    cumulativeMaxFee: 2n ** 95n,
    nonce: BigInt(number),
    deadline: 2n ** 40n,
  }
  const { signature, recid } = secp256k1.ecdsaSign(requestDigest(request, chainId), client.secret)
  return { request, signature: bytesToHex(Uint8Array.from([...signature, 27 + recid])), amount }
}

/** A number below `count` that follows from the name. */
export function pick(name: string, count: number): number {
  const bytes = seeded(name)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0) % count
}

/** The 32-byte big-endian form of an integer. */
export function word(value: bigint): Uint8Array {
  return numberToBytes(value, { size: 32 })
}
