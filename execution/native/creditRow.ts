/**
 * The row form of a credit's fields, which say some things more than once: each draw's request names the row's worker, and mostly its model; accounts ascend;
 * and entries are small against what their fields hold.
 *   worker 20 ‖ modelId 32 ‖ firstSeq ‖ count ‖ receiptsRoot 32 ‖ attributionRoot 32 ‖ promptTokens ‖ outputTokens ‖ how many draws ‖ draw… ‖ entries
 *   draw     flags(1) ‖ client 20 ‖ [modelId 32, if flag 1] ‖ promptCommit 32 ‖ paramsHash 32 ‖ seed ‖ maxOutputTokens ‖ maxFee ‖ cumulativeMaxFee ‖ nonce
 *            ‖ deadline ‖ r 32 ‖ s 32, its first bit the y parity ‖ amount. Flag 2: the signature's v is 0 or 1, and not 27 or 28
 *   entries  how many; if any: first account ‖ bits of a step (1) ‖ bits of an amount (1) ‖ bits: every next account less the one before and 1, then every
 *            amount less 1; widths are those of the largest, zeros up to a whole byte
 * Spec: docs/spec/batch.md#credits
 */
import type { Hex } from 'viem'
import { assert } from '../assert.ts'
import { type Cursor, malformed, take, takeUint } from '../fields.ts'
import { fromHex, toHex } from '../hex.ts'
import type { InferenceRequest } from '../receipt.ts'
import { splitSignature } from '../recover.ts'
import { amountRow, fixedRow, type RowCoder, signatureRow, uintRow } from '../rowFields.ts'
import { bitsOf, takeVarint, varintBytes, writeVarint } from '../varint.ts'

type Draw = { readonly request: InferenceRequest; readonly signature: Hex; readonly amount: bigint }

/** Fields of a credit. */
export type CreditFields = {
  readonly worker: Hex
  readonly modelId: Hex
  readonly firstSeq: bigint
  readonly count: number
  readonly receiptsRoot: Hex
  readonly attributionRoot: Hex
  readonly promptTokens: bigint
  readonly outputTokens: bigint
  readonly draws: readonly Draw[]
  readonly accounts: readonly number[]
  readonly amountsGwei: readonly number[]
}

const word = fixedRow(32)
const address = fixedRow(20)
const u32 = uintRow(32) as RowCoder<number>
const u64 = uintRow(64) as RowCoder<bigint>

const OTHER_MODEL = 1
const SMALL_V = 2
const ACCOUNT_BITS = 32
const AMOUNT_BITS = 48
/** Items of a list at most: those of rules are fewer. */
const COUNT_BITS = 8

/** The row form of the fields of a credit that keeps the rules which need no ledger. */
export const creditRow: RowCoder<CreditFields> = {
  bytes({ firstSeq, count, promptTokens, outputTokens, draws, accounts, amountsGwei, modelId }) {
    let sum = 20 + 3 * 32 + varintBytes(firstSeq) + varintBytes(count) + varintBytes(promptTokens) + varintBytes(outputTokens)
    sum += varintBytes(draws.length)
    for (const draw of draws) sum += drawBytes(draw, modelId)
    return sum + entriesBytes(accounts, amountsGwei)
  },
  write(fields, out, at) {
    let next = word.write(fields.modelId, out, address.write(fields.worker, out, at))
    next = writeVarint(fields.count, out, writeVarint(fields.firstSeq, out, next))
    next = word.write(fields.attributionRoot, out, word.write(fields.receiptsRoot, out, next))
    next = writeVarint(fields.outputTokens, out, writeVarint(fields.promptTokens, out, next))
    next = writeVarint(fields.draws.length, out, next)
    for (const draw of fields.draws) next = writeDraw(draw, fields, out, next)
    return writeEntries(fields.accounts, fields.amountsGwei, out, next)
  },
  read(cursor) {
    const worker = address.read(cursor)
    const modelId = word.read(cursor)
    const [firstSeq, count] = [u64.read(cursor), u32.read(cursor)]
    const [receiptsRoot, attributionRoot] = [word.read(cursor), word.read(cursor)]
    const [promptTokens, outputTokens] = [u64.read(cursor), u64.read(cursor)]
    const drawCount = takeVarint(cursor, COUNT_BITS)
    const draws: Draw[] = []
    for (let i = 0; i < drawCount; i++) draws.push(readDraw(cursor, { worker, modelId })) // ends: a draw has bytes, and the cursor an end
    const { accounts, amountsGwei } = readEntries(cursor)
    const window = { firstSeq, count, receiptsRoot, attributionRoot, promptTokens, outputTokens }
    return { worker, modelId, ...window, draws, accounts, amountsGwei }
  },
}

// ---- draws --------------------------------------------------------------------------------------------------------------------------

function drawBytes({ request, amount }: Draw, modelId: Hex): number {
  const { seed, maxOutputTokens, maxFee, cumulativeMaxFee, nonce, deadline } = request
  const fixed = 1 + 20 + (request.modelId === modelId ? 0 : 32) + 64 + 64
  const counts = varintBytes(seed) + varintBytes(maxOutputTokens) + varintBytes(nonce) + varintBytes(deadline)
  return fixed + counts + amountRow.bytes(maxFee) + amountRow.bytes(cumulativeMaxFee) + amountRow.bytes(amount)
}

function writeDraw({ request, signature, amount }: Draw, { worker, modelId }: CreditFields, out: Uint8Array, at: number): number {
  const bytes = fromHex(signature)
  const split = splitSignature(bytes)
  assert(split && request.worker === worker, 'a draw names the worker and is signed')
  const isOther = request.modelId !== modelId
  out[at] = (isOther ? OTHER_MODEL : 0) | ((bytes[64] ?? 0) < 27 ? SMALL_V : 0)
  let next = address.write(request.client, out, at + 1)
  if (isOther) next = word.write(request.modelId, out, next)
  next = word.write(request.paramsHash, out, word.write(request.promptCommit, out, next))
  next = writeVarint(request.maxOutputTokens, out, writeVarint(request.seed, out, next))
  next = amountRow.write(request.cumulativeMaxFee, out, amountRow.write(request.maxFee, out, next))
  next = writeVarint(request.deadline, out, writeVarint(request.nonce, out, next))
  return amountRow.write(amount, out, signatureRow.write(split, out, next))
}

function readDraw(cursor: Cursor, { worker, modelId }: Pick<CreditFields, 'worker' | 'modelId'>): Draw {
  const flags = takeUint(cursor, 1)
  if (flags > (OTHER_MODEL | SMALL_V)) malformed()
  const client = address.read(cursor)
  const ownModel = flags & OTHER_MODEL ? word.read(cursor) : modelId
  if (flags & OTHER_MODEL && ownModel === modelId) malformed()
  const [promptCommit, paramsHash] = [word.read(cursor), word.read(cursor)]
  const [seed, maxOutputTokens] = [u64.read(cursor), u32.read(cursor)]
  const [maxFee, cumulativeMaxFee] = [amountRow.read(cursor), amountRow.read(cursor)]
  const [nonce, deadline] = [u64.read(cursor), u64.read(cursor)]
  const { r, s, yParity } = signatureRow.read(cursor)
  const bytes = new Uint8Array(65)
  bytes.set(r)
  bytes.set(s, 32)
  bytes[64] = yParity + (flags & SMALL_V ? 0 : 27)
  const prices = { seed, maxOutputTokens, maxFee, cumulativeMaxFee, nonce, deadline }
  const request = { client, worker, modelId: ownModel, promptCommit, paramsHash, ...prices }
  return { request, signature: toHex(bytes), amount: amountRow.read(cursor) }
}

// ---- entries ------------------------------------------------------------------------------------------------------------------------

function entriesBytes(accounts: readonly number[], amountsGwei: readonly number[]): number {
  const { length } = accounts
  if (length === 0) return 1
  const widths = widthsOf(accounts, amountsGwei)
  const bits = (length - 1) * widths.step + length * widths.amount
  return varintBytes(length) + varintBytes(accounts[0] ?? 0) + 2 + Math.ceil(bits / 8)
}

/** Bits of the largest step from one account to the next, less 1, and of the largest amount, less 1. */
function widthsOf(accounts: readonly number[], amountsGwei: readonly number[]): { step: number; amount: number } {
  let most = 0
  for (let i = 1; i < accounts.length; i++) most = Math.max(most, (accounts[i] ?? 0) - (accounts[i - 1] ?? 0) - 1)
  let mostGwei = 1
  for (const amount of amountsGwei) if (amount > mostGwei) mostGwei = amount
  return { step: bitsOf(most), amount: bitsOf(mostGwei - 1) }
}

function writeEntries(accounts: readonly number[], amountsGwei: readonly number[], out: Uint8Array, at: number): number {
  const { length } = accounts
  assert(length === amountsGwei.length, 'every entry has an amount')
  const first = writeVarint(length, out, at)
  if (length === 0) return first
  const widths = widthsOf(accounts, amountsGwei)
  const from = writeVarint(accounts[0] ?? 0, out, first)
  out[from] = widths.step
  out[from + 1] = widths.amount
  let bit = 8 * (from + 2)
  for (let i = 1; i < length; i++) {
    const step = (accounts[i] ?? 0) - (accounts[i - 1] ?? 0) - 1
    assert(step >= 0, 'accounts ascend')
    bit = writeBits(out, bit, step, widths.step)
  }
  for (const amount of amountsGwei) {
    assert(amount > 0, 'no entry is of nothing')
    bit = writeBits(out, bit, amount - 1, widths.amount)
  }
  return Math.ceil(bit / 8)
}

function readEntries(cursor: Cursor): { accounts: number[]; amountsGwei: number[] } {
  const length = takeVarint(cursor, COUNT_BITS)
  if (length === 0) return { accounts: [], amountsGwei: [] }
  const accounts = [takeVarint(cursor, ACCOUNT_BITS)]
  const widths = { step: takeUint(cursor, 1), amount: takeUint(cursor, 1) }
  if (widths.step > ACCOUNT_BITS || widths.amount > AMOUNT_BITS) malformed()
  const bits = (length - 1) * widths.step + length * widths.amount
  const bytes = take(cursor, Math.ceil(bits / 8))
  let bit = 0
  for (let before = accounts[0] ?? 0; accounts.length < length; bit += widths.step) {
    before += 1 + readBits(bytes, bit, widths.step)
    accounts.push(before < 2 ** ACCOUNT_BITS ? before : malformed())
  }
  const amountsGwei: number[] = []
  for (; amountsGwei.length < length; bit += widths.amount) amountsGwei.push(1 + readBits(bytes, bit, widths.amount))
  if (amountsGwei.some((amount) => amount >= 2 ** AMOUNT_BITS) || readBits(bytes, bit, 8 * bytes.length - bit) !== 0) malformed()
  const exact = widthsOf(accounts, amountsGwei)
  return exact.step === widths.step && exact.amount === widths.amount ? { accounts, amountsGwei } : malformed()
}

/** Writes an integer of so many bits over zeros, the highest first; answers where the next bit goes. */
function writeBits(out: Uint8Array, at: number, value: number, width: number): number {
  const end = at + width
  let rest = value
  for (let bit = end; bit > at; ) {
    const inByte = bit & 7 || 8
    const taken = Math.min(inByte, bit - at)
    const place = (bit - 1) >> 3
    const low = rest % 2 ** taken
    out[place] = (out[place] ?? 0) | (low << (8 - inByte))
    rest = (rest - low) / 2 ** taken
    bit -= taken // ends: at least one bit is taken
  }
  return end
}

function readBits(bytes: Uint8Array, at: number, width: number): number {
  let value = 0
  for (let bit = at; bit < at + width; ) {
    const taken = Math.min(8 - (bit & 7), at + width - bit)
    const byte = bytes[bit >> 3] ?? 0
    value = value * 2 ** taken + ((byte >> (8 - (bit & 7) - taken)) & (2 ** taken - 1))
    bit += taken // ends: at least one bit is taken
  }
  return value
}
