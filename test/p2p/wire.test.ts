/** The bytes of the network: pinned, one encoding a value, and no bytes that do harm. */
import fc from 'fast-check'
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { LIMIT } from '../../genesis/params.ts'
import { messageId } from '../../p2p/pubsub.ts'
import {
  ANSWER_BLOCKS_MAX,
  BATCH_BYTES_MAX,
  COMMIT_BYTES_MAX,
  decodeBatch,
  decodeFrame,
  decodeNews,
  decodeRequest,
  decodeTransactions,
  encodeBatch,
  encodeCheckpointNews,
  encodeFrame,
  encodeNews,
  encodeRequest,
  encodeTransactions,
  NEWS_BYTES_MAX,
  REQUEST_BYTES,
  SIGNERS_BYTES_MAX,
  syncProtocolOf,
  topicsOf,
} from '../../p2p/wire.ts'
import vectors from '../vectors/p2p.json' with { type: 'json' }

const bytes = (hex: string) => hexToBytes(hex as Hex)
const certified = { commit: bytes(vectors.certified.commit), block: bytes(vectors.certified.block) }
const batch = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 20 })
const anyCertified = fc.record({
  commit: fc.uint8Array({ minLength: 1, maxLength: COMMIT_BYTES_MAX }),
  block: fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
})

test('names and bytes are those of the vectors', () => {
  const genesisHash = vectors.genesisHash as Hex
  expect(topicsOf(genesisHash)).toEqual(vectors.topics)
  expect(syncProtocolOf(genesisHash)).toBe(vectors.syncProtocol)
  const transactions = vectors.transactions.value.map(bytes)
  expect(bytesToHex(encodeBatch(vectors.transactions.number, transactions))).toBe(vectors.transactions.bytes)
  expect(decodeBatch(bytes(vectors.transactions.bytes))).toEqual({ ok: true, value: transactions })
  expect(bytesToHex(messageId(vectors.topics.transactions, bytes(vectors.transactions.bytes)))).toBe(vectors.transactions.messageId)
  expect(bytesToHex(encodeNews(certified))).toBe(vectors.blockNews)
  expect(decodeNews(bytes(vectors.blockNews))).toEqual({ ok: true, value: { kind: 'block', ...certified } })
  expect(bytesToHex(encodeCheckpointNews(Uint8Array.of(1, 2)))).toBe('0x030102')
  expect(decodeNews(bytes('0x030102'))).toEqual({ ok: true, value: { kind: 'checkpoint', signers: Uint8Array.of(1, 2) } })
  expect(decodeNews(bytes('0x03'))).toEqual({ ok: false, code: 'empty' })
  expect(decodeNews(new Uint8Array(SIGNERS_BYTES_MAX + 2).fill(3))).toEqual({ ok: false, code: 'oversize' })
  expect(decodeNews(bytes(vectors.announcement))).toEqual({ ok: true, value: { kind: 'announcement', commit: certified.commit } })
  const request = { from: BigInt(vectors.request.from), count: vectors.request.count }
  expect(bytesToHex(encodeRequest(request))).toBe(vectors.request.bytes)
  expect(decodeRequest(bytes(vectors.request.bytes))).toEqual({ ok: true, value: request })
  expect(bytesToHex(encodeFrame(certified))).toBe(vectors.blockFrame)
  expect(decodeFrame(bytes(vectors.blockFrame))).toEqual({ ok: true, value: { kind: 'block', ...certified } })
  expect(bytesToHex(encodeFrame())).toBe(vectors.endFrame)
  expect(decodeFrame(bytes(vectors.endFrame))).toEqual({ ok: true, value: { kind: 'end' } })
})

test('whatever is encoded decodes to the same', () => {
  const request = fc.record({ from: fc.bigInt(1n, BigInt(Number.MAX_SAFE_INTEGER)), count: fc.integer({ min: 1, max: ANSWER_BLOCKS_MAX }) })
  fc.assert(
    fc.property(batch, anyCertified, request, (transactions, block, asked) => {
      expect(decodeTransactions(encodeTransactions(transactions))).toEqual({ ok: true, value: transactions })
      expect(decodeNews(encodeNews(block))).toEqual({ ok: true, value: { kind: 'block', ...block } })
      expect(decodeFrame(encodeFrame(block))).toEqual({ ok: true, value: { kind: 'block', ...block } })
      expect(decodeRequest(encodeRequest(asked))).toEqual({ ok: true, value: asked })
    }),
  )
})

test('arbitrary bytes never throw, and what they decode to has those bytes as its only encoding', () => {
  // Headers of real messages in front, so that the random part reaches the inner fields.
  const hostile = fc
    .tuple(
      fc.constantFrom('0x', '0x00', '0x01', '0x02', '0x010001', '0x000001', '0x0000ff', '0x020400', vectors.blockNews),
      fc.uint8Array({ maxLength: 600 }),
    )
    .map(([head, tail]) => new Uint8Array([...bytes(head), ...tail]))
  fc.assert(
    fc.property(hostile, (data) => {
      const transactions = decodeTransactions(data)
      if (transactions.ok) expect(encodeTransactions(transactions.value)).toEqual(data)
      const batch = decodeBatch(data)
      if (batch.ok) expect(encodeBatch(new DataView(data.buffer, data.byteOffset).getUint32(0), batch.value)).toEqual(data)
      const news = decodeNews(data)
      if (news.ok && news.value.kind === 'block') expect(encodeNews(news.value)).toEqual(data)
      if (news.ok && news.value.kind === 'announcement') expect(new Uint8Array([2, ...news.value.commit])).toEqual(data)
      const frame = decodeFrame(data)
      if (frame.ok) expect(encodeFrame(frame.value.kind === 'block' ? frame.value : undefined)).toEqual(data)
      const request = decodeRequest(data)
      if (request.ok) expect(encodeRequest(request.value)).toEqual(data)
    }),
    { numRuns: 2_000 },
  )
})

test('what is decoded from a Buffer is copied or plain all the same', () => {
  const buffer = Buffer.from(encodeTransactions([certified.block]))
  const decoded = decodeTransactions(buffer)
  buffer.fill(0)
  expect(decoded).toEqual({ ok: true, value: [certified.block] })
  expect(decodeFrame(Buffer.from(encodeFrame(certified)))).toEqual({ ok: true, value: { kind: 'block', ...certified } })
})

test('a message cut anywhere is refused, and so is one with a byte too many', () => {
  const one = encodeTransactions([new Uint8Array(300).fill(1)])
  for (let length = 0; length < one.length; length++) expect(decodeTransactions(one.subarray(0, length)).ok).toBe(false)
  for (const length of [0, 3]) expect(decodeBatch(new Uint8Array(length))).toEqual({ ok: false, code: 'truncated' })
  expect(decodeBatch(new Uint8Array(4))).toEqual({ ok: false, code: 'empty' })
  const request = encodeRequest({ from: 7n, count: 3 })
  for (let length = 0; length < request.length; length++)
    expect(decodeRequest(request.subarray(0, length))).toEqual({ ok: false, code: 'truncated' })
  expect(decodeRequest(new Uint8Array([...request, 0]))).toEqual({ ok: false, code: 'trailingBytes' })
  const frame = encodeFrame(certified)
  const headBytes = 1 + 2 + certified.commit.length
  for (let length = 0; length <= headBytes; length++) expect(decodeFrame(frame.subarray(0, length)).ok).toBe(false)
  expect(decodeFrame(new Uint8Array([0, 0]))).toEqual({ ok: false, code: 'trailingBytes' })
})

test('a batch has at least one transaction, none of them empty or too long, and only a single one may pass 64 KiB', () => {
  expect(decodeTransactions(new Uint8Array())).toEqual({ ok: false, code: 'empty' })
  expect(decodeTransactions(new Uint8Array(3))).toEqual({ ok: false, code: 'empty' })
  const largest = encodeTransactions([new Uint8Array(LIMIT.txBytes).fill(2)])
  expect(decodeTransactions(largest)).toMatchObject({ ok: true })
  const tooLong = new Uint8Array(3 + LIMIT.txBytes + 1)
  tooLong.set([2, 0, 1])
  expect(decodeTransactions(tooLong)).toEqual({ ok: false, code: 'oversize' })
  const half = new Uint8Array(BATCH_BYTES_MAX / 2).fill(3)
  const both = new Uint8Array([...encodeTransactions([half]), ...encodeTransactions([half])])
  expect(decodeTransactions(both)).toEqual({ ok: false, code: 'oversize' })
  expect(() => encodeTransactions([half, half])).toThrow('too long')
})

test('a request asks for something, and not for block 0', () => {
  const request = (from: bigint, count: number) => {
    const out = new Uint8Array(REQUEST_BYTES)
    new DataView(out.buffer).setBigUint64(0, from)
    out[8] = count
    return decodeRequest(out)
  }
  expect(request(0n, 1)).toEqual({ ok: false, code: 'heightRange' })
  expect(request(2n ** 64n - 1n, 1)).toEqual({ ok: false, code: 'heightRange' })
  expect(request(1n, 0)).toEqual({ ok: false, code: 'countRange' })
  expect(request(1n, ANSWER_BLOCKS_MAX + 1)).toEqual({ ok: false, code: 'countRange' })
})

test('a block too large for gossip is announced by its certificate', () => {
  const overhead = 1 + 2 + certified.commit.length
  const fits = { commit: certified.commit, block: new Uint8Array(NEWS_BYTES_MAX - overhead).fill(9) }
  const tooLarge = { commit: certified.commit, block: new Uint8Array(NEWS_BYTES_MAX - overhead + 1).fill(9) }
  expect(decodeNews(encodeNews(fits))).toMatchObject({ ok: true, value: { kind: 'block' } })
  expect(decodeNews(encodeNews(tooLarge))).toEqual({ ok: true, value: { kind: 'announcement', commit: certified.commit } })
  expect(decodeNews(new Uint8Array(NEWS_BYTES_MAX + 1).fill(1))).toEqual({ ok: false, code: 'oversize' })
})

test('the same bytes on two topics are two messages', () => {
  const data = new Uint8Array([1, 2, 3])
  expect(messageId('a', data)).not.toEqual(messageId('b', data))
})
