/** Columns give back the transactions that they were made of, and nothing else gives columns. */
import { RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import { bytesToHex, concatBytes, hexToBytes, zeroAddress, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { encodeVarint, takeVarint } from '../../execution/varint.ts'
import { COLUMN_TXS_MAX, decodeEvmColumns, encodeEvmColumns } from '../../settlement/evmColumns.ts'
import { testAccounts } from '../fakes/testChain.ts'

const FIELD_COUNTS = [
  [0, 9],
  [1, 11],
  [2, 12],
  [4, 13],
] as const

type Item = Uint8Array | Item[]
const items = fc.letrec<{ item: Item }>((tie) => ({
  item: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.uint8Array({ maxLength: 70 }), fc.array(tie('item'), { maxLength: 4 })),
})).item

/** Anything with the outer form of a transaction: what an item holds does not matter. */
const transactions = fc.constantFrom(...FIELD_COUNTS).chain(([type, count]) =>
  fc.array(items, { minLength: count, maxLength: count }).map((list) => {
    const encoded = RLP.encode(list)
    return type === 0 ? encoded : concatBytes([Uint8Array.of(type), encoded])
  }),
)

const hexes = (list: readonly Uint8Array[] | undefined) => list?.map((bytes) => bytesToHex(bytes))

test('columns are lossless for any fields of any type in any order', () =>
  fc.assert(
    fc.property(fc.array(transactions, { maxLength: 12 }), (raws) => {
      expect(hexes(decodeEvmColumns(encodeEvmColumns(raws)))).toEqual(hexes(raws))
    }),
    { numRuns: 300 },
  ))

test('columns are lossless for what wallets sign', async () => {
  const [account] = testAccounts
  if (!account) throw new Error('no account')
  const call = { chainId: 73_571, nonce: 3, gas: 90_000n, to: zeroAddress, value: 10n ** 20n, data: `0x${'ab'.repeat(300)}` } as const
  const accessList = [{ address: zeroAddress, storageKeys: [zeroHash, zeroHash] }]
  const fees = { maxFeePerGas: 9n, maxPriorityFeePerGas: 0n }
  const authorization = await account.signAuthorization({ address: zeroAddress, chainId: 73_571, nonce: 4 })
  const signed = [
    await account.signTransaction({ ...call, type: 'eip1559', ...fees, accessList }),
    await account.signTransaction({ ...call, type: 'legacy', gasPrice: 8n }),
    await account.signTransaction({ ...call, type: 'eip2930', gasPrice: 8n, accessList }),
    await account.signTransaction({ ...call, type: 'eip7702', ...fees, authorizationList: [authorization] }),
    await account.signTransaction({ chainId: 73_571, nonce: 4, gas: 90_000n, data: '0x60', type: 'eip1559', ...fees }),
  ]
  expect(hexes(decodeEvmColumns(encodeEvmColumns(signed.map((raw) => hexToBytes(raw)))))).toEqual(signed)
})

test('changed columns are refused, or are the only columns of what is read', () =>
  fc.assert(
    fc.property(
      fc.array(transactions, { maxLength: 5 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 2 }),
      fc.constantFrom(-1, 0, 0, 0, 1),
      (raws, changes, growth) => {
        const whole = encodeEvmColumns(raws)
        const bytes = new Uint8Array(whole.length + growth)
        bytes.set(whole.subarray(0, bytes.length))
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
        const read = decodeEvmColumns(bytes)
        if (read) expect(bytesToHex(encodeEvmColumns(read))).toBe(bytesToHex(bytes))
      },
    ),
    { numRuns: 2_000 },
  ))

test('columns cut at any byte are refused', () => {
  const raws = fc.sample(transactions, { numRuns: 6, seed: 3 })
  const bytes = encodeEvmColumns(raws)
  for (let cut = 0; cut < bytes.length; cut++) expect(decodeEvmColumns(bytes.subarray(0, cut))).toBeUndefined()
})

test('types without columns, and more transactions than six blobs hold, are refused', () => {
  for (const type of [3, 5, 0x50, 0x7e, 0xff]) expect(decodeEvmColumns(Uint8Array.of(1, type))).toBeUndefined()
  const many = concatBytes([encodeVarint(COLUMN_TXS_MAX + 1), new Uint8Array(COLUMN_TXS_MAX + 1)])
  const column = concatBytes([encodeVarint(COLUMN_TXS_MAX + 1), new Uint8Array(COLUMN_TXS_MAX + 1).fill(0x80)])
  expect(decodeEvmColumns(concatBytes([many, ...Array.from({ length: 9 }, () => column)]))).toBeUndefined()
})

test('a varint is as short as can be and at most 2^53 − 1', () => {
  const read = (bytes: Uint8Array) => {
    const cursor = { bytes, at: 0, end: bytes.length }
    return { value: takeVarint(cursor), at: cursor.at }
  }
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const bytes = encodeVarint(value)
      expect(read(bytes)).toEqual({ value, at: bytes.length })
    }),
  )
  expect(hexes([0, 127, 128, 300, Number.MAX_SAFE_INTEGER].map(encodeVarint))).toEqual([
    '0x00',
    '0x7f',
    '0x8001',
    '0xac02',
    '0xffffffffffffff0f',
  ])
  for (const wrong of [[], [0x80], [0x80, 0x00], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f], Array(9).fill(0x80).concat(1)]) {
    expect(() => read(Uint8Array.from(wrong))).toThrow('')
  }
})
