/** Batches: what is written is read, one batch has one form, and bytes that are none are refused for what is wrong with them. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { bytesToHex, concatBytes, type Hex, hexToBytes, serializeTransaction } from 'viem'
import { beforeAll, expect, test } from 'vitest'
import { encodeRow, type Row, rowBytes } from '../../execution/native/row.ts'
import { BLOCK_BYTES_LIMIT, TX_TYPE } from '../../genesis/params.ts'
import { brotli } from '../../node/brotli.ts'
import {
  BATCH_BLOCKS_MAX,
  type Batch,
  type BatchParent,
  type Compression,
  type DecodedBatch,
  decodeBatch,
  encodeBatch,
  TAIL_BYTES_MAX,
} from '../../settlement/batch.ts'
import { BATCH_PAYLOAD_BYTES_MAX, blobCount, decodeBlobs, encodeBlobs } from '../../settlement/blob.ts'
import { encodeEvmColumns } from '../../settlement/evmColumns.ts'
import { batchAccumulator, callDataHash } from '../../settlement/inbox.ts'
import { encodeLane, groupsOf } from '../../settlement/lane.ts'
import { testGenesis } from '../fakes/testChain.ts'
import vector from '../vectors/batch.json' with { type: 'json' }
import { VECTOR_BATCH, VECTOR_CHAIN_ID, VECTOR_EVM, VECTOR_PARENT, VECTOR_ROWS } from './batchVector.ts'
import { arbitraryBlock, type Story, startStory, toBatch } from './story.ts'

const { chainId } = testGenesis().params
const word = (byte: string): Hex => `0x${byte.repeat(32)}`
const ELEMENT = 31

/** No compression at all: with it, a batch has one form and no other. */
const stored: Compression = {
  compress: (bytes) => bytes.slice(),
  decompress: (bytes, bytesMax) => (bytes.length <= bytesMax ? bytes : undefined),
}

let story: Story
let batch: Batch
let parent: BatchParent

beforeAll(async () => {
  story = await startStory()
  for (const move of fc.sample(arbitraryBlock, { numRuns: 5, seed: 11 })) await story.add(move)
  await story.add({ moves: [], step: 1, deposits: [{ kind: 'door', who: 1, a: 3 }], afterMs: 20 })
  ;({ batch, parent } = toBatch(story, 1, story.blocks.length, 9n))
})

function encode(content: Batch, before: BatchParent = parent, compress = stored.compress): Uint8Array {
  const encoded = encodeBatch(content, { parent: before, compress })
  if (!encoded.ok) throw new Error(encoded.code)
  return encoded.payload
}

function decode(payload: Uint8Array, before: BatchParent = parent, decompress = stored.decompress) {
  return decodeBatch(payload, { parent: before, chainId, decompress })
}

/** vitest compares bytes one by one, which takes longer than all the rest. */
const isSame = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0

/** What was read less the rows, which the lane's bytes say too. */
function contentOf({ groups, ...content }: DecodedBatch): Batch {
  const { bytes, places, attachments } = encodeLane(groups)
  const { lane } = content
  expect(isSame(bytes, lane.bytes) && isSame(attachments, lane.attachments)).toBe(true)
  expect(places).toEqual(lane.places)
  return content
}

const codeOf = (payload: Uint8Array, decompress = stored.decompress) => {
  const result = decode(payload, parent, decompress)
  return result.ok ? 'ok' : result.code
}

test('what is written is read, whatever the blocks, and reaches blobs and back', () =>
  fc.assert(
    fc.asyncProperty(fc.array(arbitraryBlock, { minLength: 1, maxLength: 5 }), async (moves) => {
      const own = await startStory()
      for (const move of moves) await own.add(move)
      for (const first of [1, own.blocks.length]) {
        const made = toBatch(own, first, own.blocks.length)
        const payload = encode(made.batch, made.parent, brotli.compress)
        const carried = decodeBlobs(encodeBlobs(payload), payload.length)
        const read = carried.ok ? decode(carried.payload, made.parent, brotli.decompress) : undefined
        expect(read?.ok && contentOf(read.batch)).toEqual(made.batch)
        const posted = own.blocks
          .slice(first - 1)
          .map((one) => one.transactions.flatMap((tx) => (tx.kind === 'deposit' ? [] : [bytesToHex(tx.raw)])))
        expect(made.batch.blocks.map(({ transactions }) => transactions.map((raw) => bytesToHex(raw)))).toEqual(posted)
      }
    }),
    { numRuns: 8 },
  ))

test('the pinned batch is written and read byte for byte', () => {
  const options = { parent: VECTOR_PARENT, chainId: VECTOR_CHAIN_ID, decompress: brotli.decompress }
  let plainTail = new Uint8Array()
  const keepTail = (bytes: Uint8Array) => {
    plainTail = Uint8Array.from(bytes)
    return brotli.compress(bytes)
  }
  const encoded = encodeBatch(VECTOR_BATCH, { parent: VECTOR_PARENT, compress: keepTail })
  if (!encoded.ok) throw new Error('the batch does not fit')
  const header = {
    ...{ prevAccumulator: word('01'), firstBlock: 5n, lastBlock: 7n, lastBlockHash: word('02') },
    ...{ l1OriginNumber: 12n, l1OriginHash: word('03'), payloadBytes: encoded.payload.length },
  }
  const dataHash = callDataHash(encoded.payload)
  expect({
    spec: vector.spec,
    rows: VECTOR_ROWS.map((row) => bytesToHex(encodeRow(row))),
    evmTransactions: VECTOR_EVM.map((raw) => bytesToHex(raw)),
    evmColumns: bytesToHex(encodeEvmColumns(VECTOR_EVM)),
    plainTail: bytesToHex(plainTail),
    payload: bytesToHex(encoded.payload),
    dataHash,
    accumulator: batchAccumulator({ index: 1n, header, dataHash }),
  }).toEqual(vector)
  const read = decodeBatch(hexToBytes(vector.payload as Hex), options)
  expect(read.ok && contentOf(read.batch)).toEqual(VECTOR_BATCH)
})

test('a lane without rows, and blocks without transactions, make the smallest batch', () => {
  const lane = { bytes: new Uint8Array(), places: [], attachments: new Uint8Array() }
  const blocks = [
    { timestampMs: parent.timestampMs + 1, originNumber: parent.originNumber, coinbase: `0x${'c3'.repeat(20)}` as Hex, transactions: [] },
  ]
  const empty: Batch = { ...batch, blocks, lane, ledgerRoots: [] }
  const payload = encode(empty)
  const read = decode(payload)
  expect(read.ok && contentOf(read.batch)).toEqual(empty)
  expect(payload.length).toBe(6 * ELEMENT + 1 + 20 + 4 + 1)
})

test('cut at any byte, a payload is refused', () => {
  const payload = encode(batch)
  for (let cut = 0; cut < payload.length; cut++) expect(decode(payload.subarray(0, cut)).ok).toBe(false)
  expect(codeOf(concatBytes([payload, Uint8Array.of(0)]))).toBe('badLength')
})

test('any bit flipped makes another batch with no other form, or none', () => {
  const short = toBatch(story, 1, 2)
  const payload = encode(short.batch, short.parent)
  for (let at = 0; at < payload.length; at++) {
    const flipped = payload.slice()
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at & 7))
    const read = decode(flipped, short.parent)
    if (read.ok) expect(isSame(encode(contentOf(read.batch), short.parent), flipped)).toBe(true)
  }
})

test('changed bytes under brotli never throw, and what is read is written to the same tail', () => {
  const payload = encode(batch, parent, brotli.compress)
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(payload.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }), (changes) => {
      const changed = payload.slice()
      for (const [at, byte] of changes) changed[at] = byte
      const read = decode(changed, parent, brotli.decompress)
      if (!read.ok) return
      const again = decode(encode(read.batch, parent, brotli.compress), parent, brotli.decompress)
      expect(again.ok && isSame(encode(contentOf(again.batch)), encode(contentOf(read.batch)))).toBe(true)
    }),
    { numRuns: 1_000 },
  )
})

test('a batch is refused for what is wrong with it', () => {
  const payload = encode(batch)
  const laneAt = 6 * ELEMENT
  const groupsAt = laneAt + batch.lane.bytes.length
  const tailAt = groupsAt + batch.lane.places.length * 38
  const withBytes = (at: number, bytes: readonly number[]) => {
    const changed = payload.slice()
    changed.set(bytes, at)
    return changed
  }
  expect({
    version: codeOf(withBytes(0, [2])),
    empty: codeOf(new Uint8Array()),
    noBlocks: codeOf(withBytes(17, [0, 0])),
    tooManyBlocks: codeOf(withBytes(17, [0x10, 0x01])),
    laneLonger: codeOf(withBytes(19, [0, 0xff, 0xff])),
    laneHuge: codeOf(withBytes(19, [0xff, 0xff, 0xff])),
    groupCount: codeOf(withBytes(22, [0, 0])),
    groupFirst: codeOf(withBytes(groupsAt + 2, [1])),
    groupLater: codeOf(withBytes(groupsAt + 38 + 2, [(payload[groupsAt + 38 + 2] ?? 0) + 1])),
    noBitmap: codeOf(withBytes(59, [0, 0])),
    longBitmap: codeOf(withBytes(59, [0, 17])),
    headPadding: codeOf(withBytes(laneAt - 1, [1])),
    row: codeOf(withBytes(laneAt, [9])),
    groupPlace: codeOf(withBytes(groupsAt + 5, [1])),
    tail: codeOf(withBytes(tailAt, [0xff])),
    noBrotli: codeOf(payload, brotli.decompress),
  }).toEqual({
    version: 'unknownVersion',
    empty: 'badHead',
    noBlocks: 'badHead',
    tooManyBlocks: 'badHead',
    laneLonger: 'badLength',
    laneHuge: 'badLength',
    groupCount: 'badHead',
    groupFirst: 'badLane',
    groupLater: 'badLane',
    noBitmap: 'badHead',
    longBitmap: 'badHead',
    headPadding: 'badPadding',
    row: 'badLane',
    groupPlace: 'badGroup',
    tail: 'badTail',
    noBrotli: 'badCompression',
  })
  expect(codeOf(new Uint8Array(BATCH_PAYLOAD_BYTES_MAX + 1))).toBe('payloadTooLarge')
})

test('lane and table that speak of different blocks are refused', () => {
  const blocks = batch.blocks.map((block) => ({ ...block }))
  const changed = (at: number, change: Partial<Batch['blocks'][number]>) =>
    codeOf(encode({ ...batch, blocks: blocks.map((block, i) => (i === at ? { ...block, ...change } : block)) }))
  const last = blocks.length - 1
  const native = blocks[0]?.transactions.find((raw) => raw[0] === 0x51)
  const transfer = blocks[0]?.transactions.find((raw) => raw[0] === 0x02)
  if (!native || !transfer) throw new Error('the first block lacks transactions')
  expect({
    time: changed(last, { timestampMs: (blocks[last]?.timestampMs ?? 0) + 1 }),
    coinbase: changed(last, { coinbase: `0x${'01'.repeat(20)}` }),
    origin: changed(last, { originNumber: (blocks[last]?.originNumber ?? 0n) + 1n }),
    noOrigin: changed(last, { originNumber: blocks[last - 1]?.originNumber ?? 0n }),
    oneNativeMore: changed(0, { transactions: [...(blocks[0]?.transactions ?? []), native] }),
    oneNativeLess: changed(0, { transactions: blocks[0]?.transactions.filter((raw) => raw !== native) ?? [] }),
    oneTransferMore: changed(0, { transactions: [...(blocks[0]?.transactions ?? []), transfer] }),
    otherNumbers: codeOf(encode({ ...batch, firstBlock: 2n })),
  }).toEqual({
    time: 'laneMismatch',
    coinbase: 'laneMismatch',
    origin: 'laneMismatch',
    noOrigin: 'laneMismatch',
    oneNativeMore: 'laneMismatch',
    oneNativeLess: 'laneMismatch',
    oneTransferMore: 'ok',
    otherNumbers: 'laneMismatch',
  })
})

test('bombs are refused before they are unpacked', () => {
  const head = encode({ ...batch, lane: { bytes: new Uint8Array(), places: [], attachments: new Uint8Array() }, ledgerRoots: [] }).slice(
    0,
    6 * ELEMENT,
  )
  const withTail = (tail: Uint8Array) => {
    const payload = concatBytes([head, tail])
    payload.set([tail.length >> 16, (tail.length >> 8) & 0xff, tail.length & 0xff], 24)
    return payload
  }
  expect(codeOf(withTail(brotli.compress(new Uint8Array(TAIL_BYTES_MAX + 1))), brotli.decompress)).toBe('badCompression')
  expect(codeOf(withTail(concatBytes([brotli.compress(new Uint8Array(9)), Uint8Array.of(1)])), brotli.decompress)).toBe('badCompression')
  expect(codeOf(withTail(brotli.compress(new Uint8Array(TAIL_BYTES_MAX).fill(0x7f))), brotli.decompress)).toBe('badTail')
  // A block that says it has 2^40 transactions has to bring their bits.
  expect(codeOf(withTail(Uint8Array.of(1, ...new Array(20).fill(0xc3), 1, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20)))).toBe('badTail')
})

test('what fits no batch is said to be too large, and by how much', () => {
  const [block] = batch.blocks
  if (!block) throw new Error('there is no block')
  const none = { ...batch, lane: { bytes: new Uint8Array(), places: [], attachments: new Uint8Array() }, ledgerRoots: [] }
  const many = Array.from({ length: BATCH_BLOCKS_MAX + 1 }, (_, i) => ({ ...block, timestampMs: block.timestampMs + i, transactions: [] }))
  const [raw] = block.transactions.filter((one) => one[0] === 0x02)
  if (!raw) throw new Error('the first block has no transfer')
  const transfers = (count: number) => [{ ...block, transactions: new Array<Uint8Array>(count).fill(raw) }]
  const sized = (blocks: Batch['blocks'], payloadBytesMax?: number) =>
    encodeBatch({ ...none, blocks }, { parent, compress: stored.compress, ...(payloadBytesMax !== undefined && { payloadBytesMax }) })
  expect(sized(many)).toEqual({ ok: false, code: 'tooManyBlocks', got: 4_097, max: 4_096 })
  expect(sized(transfers(16_385))).toEqual({ ok: false, code: 'tooManyTransactions', got: 16_385, max: 16_384 })
  expect(sized(transfers(10_000))).toMatchObject({ ok: false, code: 'payloadTooLarge', max: 761_856 })
  expect(sized(transfers(10), 1_000)).toMatchObject({ ok: false, code: 'payloadTooLarge', max: 1_000 })
})

/** What is random cannot be compressed. */
function randomTransfer(dataBytes: number): Uint8Array {
  const [data, to] = [bytesToHex(randomBytes(dataBytes)), bytesToHex(randomBytes(20))]
  const [r, s] = [bytesToHex(randomBytes(32)), bytesToHex(randomBytes(32))]
  const fees = { maxFeePerGas: BigInt(bytesToHex(randomBytes(12))), maxPriorityFeePerGas: 1n }
  return hexToBytes(serializeTransaction({ chainId, nonce: 7, to, data, value: 1n, gas: 21_000n, ...fees }, { r, s, yParity: 1 }))
}

const smallest = VECTOR_ROWS.filter(({ kind }) => kind === 'native').reduce((a, b) => (rowBytes(b) < rowBytes(a) ? b : a))

const FULL_OF: readonly (readonly [string, () => Row | Uint8Array])[] = [
  ['the smallest rows', () => smallest],
  ['small transactions', () => randomTransfer(0)],
  ['large transactions', () => randomTransfer(120_000)],
]

test.each(FULL_OF)('a block as large as can be fits a batch if it is full of %s', (_, next) => {
  const [block] = batch.blocks
  if (!block) throw new Error('there is no block')
  const rows: Row[] = [
    { kind: 'block', number: 1n, timestampMs: 1, baseFeeWei: 1n, coinbase: block.coinbase },
    { kind: 'l1Info', number: 1n, blobBaseFee: 1n },
  ]
  const transactions: Uint8Array[] = []
  for (let bytes = 0; ; ) {
    const one = next()
    const isRow = 'kind' in one
    bytes += isRow ? rowBytes(one) + 5 : one.length
    if (bytes > BLOCK_BYTES_LIMIT) break
    if (isRow) rows.push(one)
    transactions.push(isRow ? Uint8Array.of(TX_TYPE.claim) : one)
  }
  const lane = encodeLane(groupsOf(rows.map((row) => ({ row, block: 1n, txIndex: undefined, checked: undefined }))))
  const full = { ...batch, blocks: [{ ...block, transactions }], lane, ledgerRoots: lane.places.map(() => word('01')) }
  expect(encodeBatch(full, { parent, compress: brotli.compress })).toMatchObject({ ok: true })
})

test('a full batch of many blocks is read again', () => {
  const [block] = batch.blocks
  if (!block) throw new Error('there is no block')
  const blocks = Array.from({ length: BATCH_BLOCKS_MAX }, (_, i) => ({
    timestampMs: block.timestampMs + i * 1_000,
    originNumber: parent.originNumber,
    coinbase: `0x${(i % 7).toString(16).padStart(40, '0')}` as Hex,
    transactions: block.transactions.filter((raw) => raw[0] === 0x02).slice(0, i % 2),
  }))
  const full = { ...batch, blocks, lane: { bytes: new Uint8Array(), places: [], attachments: new Uint8Array() }, ledgerRoots: [] }
  const payload = encode(full, parent, brotli.compress)
  expect(blobCount(payload.length)).toBe(1)
  const read = decode(payload, parent, brotli.decompress)
  expect(read.ok && contentOf(read.batch)).toEqual(full)
})
