/**
 * contracts/fraud/LaneReader.sol refuses what settlement/batch.ts refuses, and nothing else: for batches of every kind, and for batches of which bytes were
 * changed, with their lengths and groups put right again or not. settlement/fraud.ts names the proof, and the elements that it needs.
 */
import fc from 'fast-check'
import { concatHex, encodeAbiParameters, type Hex, hexToBytes, parseAbi, toHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { laneProbeBytecode, rowReaderBytecode } from '../../contracts/artifacts.ts'
import { encodeRow, type Row } from '../../execution/native/row.ts'
import { decodeBatch, encodeBatch } from '../../settlement/batch.ts'
import { findStructureFault, type PostedAs, type RowPlace } from '../../settlement/fraud.ts'
import { encodeLane, groupsOf } from '../../settlement/lane.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../fakes/anvil.ts'
import { mined, stageClient } from '../fakes/l1Stage.ts'
import { VECTOR_BATCH, VECTOR_CHAIN_ID, VECTOR_GROUPS, VECTOR_PARENT, VECTOR_ROWS } from '../settlement/batchVector.ts'

const probeAbi = parseAbi([
  'struct BatchHeader { bytes32 prevAccumulator; uint64 firstBlock; uint64 lastBlock; bytes32 lastBlockHash; uint64 l1OriginNumber; bytes32 l1OriginHash; uint32 payloadBytes; }',
  'struct RowPlace { uint32 group; uint8 row; }',
  'function structure(uint64 index, BatchHeader header, bytes payload) pure returns (uint8)',
  'function order(uint64 index, BatchHeader header, bytes payload, RowPlace[] places) pure returns (uint8)',
])
const FAULT = ['none', 'head', 'padding', 'place', 'row', 'order'] as const
const ZERO: Hex = `0x${'00'.repeat(32)}`
const L1_ORIGIN = 12n

/** No compression: with it a batch has one form. */
const stored = { compress: (bytes: Uint8Array) => bytes.slice(), decompress: (bytes: Uint8Array) => bytes }

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let probe: Hex
beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const create = async (data: Hex): Promise<Hex> => {
    const { contractAddress } = await mined(client, await client.sendTransaction({ data }))
    if (!contractAddress) throw new Error('no contract was made')
    return contractAddress
  }
  const reader = await create(rowReaderBytecode)
  probe = await create(concatHex([laneProbeBytecode, encodeAbiParameters([{ type: 'address' }], [reader])]))
})
afterAll(() => anvil?.stop())

const posted: PostedAs = {
  place: VECTOR_BATCH.index,
  header: { firstBlock: 5n, lastBlock: 7n, l1OriginNumber: L1_ORIGIN },
  chainId: VECTOR_CHAIN_ID,
}
const headerOf = (payload: Uint8Array) => ({
  ...{ prevAccumulator: ZERO, lastBlockHash: ZERO, l1OriginHash: ZERO },
  ...{ ...posted.header, payloadBytes: payload.length },
})

async function structure(payload: Uint8Array): Promise<(typeof FAULT)[number]> {
  const args = [posted.place, headerOf(payload), toHex(payload)] as const
  return FAULT[await client.readContract({ address: probe, abi: probeAbi, functionName: 'structure', args })] ?? 'none'
}

async function order(payload: Uint8Array, places: readonly RowPlace[]): Promise<(typeof FAULT)[number]> {
  const args = [posted.place, headerOf(payload), toHex(payload), [...places]] as const
  return FAULT[await client.readContract({ address: probe, abi: probeAbi, functionName: 'order', args })] ?? 'none'
}

/** A payload with these rows, whose head and groups say so. */
function payloadOf(rows: readonly Row[]): Uint8Array {
  const lane = encodeLane(groupsOf(rows.map((row) => ({ row, block: 0n, txIndex: undefined, checked: undefined }))))
  const ledgerRoots = lane.places.map((_, i): Hex => `0x${(i + 1).toString(16).padStart(64, '0')}`)
  const encoded = encodeBatch({ ...VECTOR_BATCH, lane, ledgerRoots }, { parent: VECTOR_PARENT, compress: stored.compress })
  if (!encoded.ok) throw new Error(encoded.code)
  return encoded.payload
}

const STRUCTURAL = ['unknownVersion', 'badHead', 'badLength', 'badPadding', 'badLane', 'badGroup']

/** What decoding says of it before it looks at the tail. */
function isStructureWrong(payload: Uint8Array): boolean {
  const decoded = decodeBatch(payload, { parent: VECTOR_PARENT, chainId: VECTOR_CHAIN_ID, decompress: stored.decompress })
  return !decoded.ok && STRUCTURAL.includes(decoded.code)
}

/** The contract's verdict is that of TypeScript, and the named proof holds. */
async function expectSame(payload: Uint8Array): Promise<void> {
  const fault = findStructureFault(payload, posted)
  if (isStructureWrong(payload)) expect(fault).toBeDefined()
  const verdict = await structure(payload)
  if (fault === undefined || fault.kind === 'index') expect({ fault, verdict }).toEqual({ fault, verdict: 'none' })
  else if (fault.kind === 'head' || fault.kind === 'padding') expect({ fault, verdict }).toEqual({ fault, verdict: fault.kind })
  else if (fault.kind === 'rows') expect({ fault, verdict: verdict === 'none' }).toEqual({ fault, verdict: false })
  else expect({ fault, verdict: await order(payload, fault.places) }).toEqual({ fault, verdict: 'order' })
}

const block = (number: bigint): Row => ({
  ...{ kind: 'block', number, timestampMs: Number(1_800_000_000_000n + number * 10n), baseFeeWei: 7n },
  coinbase: `0x${'c0'.repeat(20)}`,
})
const kindOf = (kind: Row['kind']): Row => {
  const row = VECTOR_ROWS.find((one) => one.kind === kind)
  if (!row) throw new Error(`the vector has no row ${kind}`)
  return row
}

test('the pinned batch is right, and so is every question about its rows', async () => {
  const payload = payloadOf(VECTOR_ROWS)
  await expectSame(payload)
  expect(await structure(payload)).toBe('none')
  const places = VECTOR_GROUPS.flatMap((rows, group) => rows.map((_, row) => ({ group, row })))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...places), { minLength: 1, maxLength: 4 }), async (some) => {
      expect(await order(payload, some)).toBe('none')
    }),
    { numRuns: 40 },
  )
})

test('a changed byte, whichever, is refused on L1 if and only if it is here', () => {
  const payload = payloadOf(VECTOR_ROWS)
  const laneEnd = payload.length - 200
  return fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.nat(200), fc.integer({ min: 186, max: laneEnd }), fc.nat(payload.length - 1)),
      fc.integer({ min: 1, max: 255 }),
      async (at, change) => {
        const changed = payload.slice()
        changed[at] = (changed[at] ?? 0) ^ change
        await expectSame(changed)
      },
    ),
    { numRuns: 150 },
  )
})

test('rows of changed bytes, in whole lanes, are refused on L1 if and only if they are here', () => {
  const encoded = VECTOR_ROWS.map((row) => encodeRow(row))
  const payload = payloadOf(VECTOR_ROWS)
  return fc.assert(
    fc.asyncProperty(
      fc.nat(encoded.length - 1),
      fc.nat(120),
      fc.constantFrom(0, 1, 2, 3, 0x59, 0x7f, 0x80, 0xff),
      async (row, at, byte) => {
        const changed = payload.slice()
        const from = 186 + encoded.slice(0, row).reduce((sum, { length }) => sum + length, 0)
        changed[from + (at % (encoded[row]?.length ?? 1))] = byte
        await expectSame(changed)
      },
    ),
    { numRuns: 150 },
  )
})

test('rows in any order, near one another and far apart, are refused on L1 if and only if they are here', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          kind: fc.constantFrom('block', 'l1Info', 'deposit', 'native', 'operation', 'operation', 'report'),
          times: fc.constantFrom(1, 1, 2, 17),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      async (parts) => {
        let number = 5n
        const rows = [
          block(5n),
          ...parts.flatMap(({ kind, times }) =>
            Array.from({ length: times }, () => (kind === 'block' ? block(++number) : kindOf(kind as Row['kind']))),
          ),
        ]
        await expectSame(payloadOf(rows))
      },
    ),
    { numRuns: 80 },
  ))

test('a forbidden order over many groups is shown by the rows that are to blame alone', async () => {
  const operations = Array.from({ length: 40 }, () => kindOf('operation'))
  const native = kindOf('native')
  const cases: readonly (readonly [readonly Row[], readonly number[]])[] = [
    [
      [block(5n), kindOf('l1Info'), kindOf('deposit'), native, ...operations, kindOf('deposit'), native],
      [3, 44],
    ],
    [
      [block(5n), kindOf('l1Info'), kindOf('report'), ...operations, kindOf('report')],
      [2, 3, 43],
    ],
    [
      [block(5n), ...operations, kindOf('report')],
      [1, 41],
    ],
  ]
  for (const [rows, indexes] of cases) {
    const groups = groupsOf(rows.map((row) => ({ row, block: 0n, txIndex: undefined, checked: undefined })))
    const places = groups.flatMap((group, g) => group.map((_, row): RowPlace => ({ group: g, row })))
    const blamed = indexes.flatMap((i) => places[i] ?? [])
    const payload = payloadOf(rows)
    expect(findStructureFault(payload, posted)).toEqual({ kind: 'order', places: blamed })
    expect(await order(payload, blamed)).toBe('order')
    expect(await structure(payload)).toBe('none')
  }
})

test('groups may be smaller than they have to be, and no larger', async () => {
  const rows = [block(5n), ...Array.from({ length: 40 }, () => kindOf('native'))]
  const placed = rows.map((row) => ({ row, block: 0n, txIndex: undefined, checked: undefined }))
  const cut = (lengths: readonly number[]) => {
    let next = 0
    const groups = lengths.map((length) => {
      next += length
      return placed.slice(next - length, next)
    })
    const lane = encodeLane(groups)
    const ledgerRoots = lane.places.map(() => ZERO)
    const encoded = encodeBatch({ ...VECTOR_BATCH, lane, ledgerRoots }, { parent: VECTOR_PARENT, compress: stored.compress })
    if (!encoded.ok) throw new Error(encoded.code)
    return encoded.payload
  }
  const told: [readonly number[], string][] = []
  for (const lengths of [
    [16, 16, 9],
    [1, 2, 3, 16, 16, 3],
    [17, 16, 8],
    [16, 25],
  ]) {
    const payload = cut(lengths)
    await expectSame(payload)
    told.push([lengths, await structure(payload)])
  }
  expect(told.map(([, verdict]) => verdict)).toEqual(['none', 'none', 'place', 'place'])
})

test('strings are as strict as UTF-8, and numbers as rows have them', async () => {
  const at = VECTOR_ROWS.findIndex((row) => row.kind === 'native' && row.native.type.name === 'DatanetCreate')
  const before = VECTOR_ROWS.slice(0, at).reduce((sum, row) => sum + encodeRow(row).length, 0)
  const nameAt = 186 + before + 1 + 64 + 1 + 2 + 1
  for (const [hex, isGood] of [
    ['0xc3a9', true],
    ['0xc080', false],
    ['0xe0a080', true],
    ['0xe09f80', false],
    ['0xed9fbf', true],
    ['0xeda080', false],
    ['0xf0908080', true],
    ['0xf08f8080', false],
    ['0xf48fbfbf', true],
    ['0xf4908080', false],
    ['0xf5808080', false],
    ['0x80', false],
  ] as const) {
    const payload = payloadOf(VECTOR_ROWS)
    payload.set(hexToBytes(hex), nameAt)
    expect({ hex, wrong: isStructureWrong(payload) }).toEqual({ hex, wrong: !isGood })
    await expectSame(payload)
  }
})
