/**
 * contracts/fraud/RowReader.sol reads what execution/native/row.ts reads, and nothing else: rows of every type as they were written, cut, lengthened and
 * changed; the same lengths and weights, and behind them the members that rules are executed on.
 */
import fc from 'fast-check'
import { bytesToHex, concatBytes, concatHex, type Hex, hexToBytes, numberToHex, parseAbi } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { rowReaderBytecode } from '../../../contracts/artifacts.ts'
import { attempt } from '../../../execution/fields.ts'
import { keccak256 } from '../../../execution/keccak.ts'
import { nativeRowBytes, operationRowBytes } from '../../../execution/native/native.ts'
import { encodeRow, type Row, rowWeight, takeRow } from '../../../execution/native/row.ts'
import { REFUSED, type Verdict } from '../../../execution/native/verdict.ts'
import { GROUP } from '../../../genesis/params.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { mined, stageClient } from '../../fakes/l1Stage.ts'
import { CHAIN_ID, rows } from '../../settlement/arbitraryRows.ts'

const readerAbi = parseAbi([
  'struct Rows { uint256[] ends; uint256 weight; bool isMalformed; bytes expanded; }',
  'function read(bytes lane, uint256 rowsMax) view returns (Rows rows)',
])

let anvil: Anvil
let read: (lane: Uint8Array) => Promise<{ ends: readonly bigint[]; weight: bigint; isMalformed: boolean; expanded: Hex }>
beforeAll(async () => {
  anvil = await startAnvil()
  const client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const { contractAddress } = await mined(client, await client.sendTransaction({ data: rowReaderBytecode }))
  if (!contractAddress) throw new Error('no contract was made')
  read = (lane) => client.readContract({ address: contractAddress, abi: readerAbi, functionName: 'read', args: [bytesToHex(lane), 16n] })
})
afterAll(() => anvil?.stop())

const KIND = { block: 1, l1Info: 2, deposit: 3, native: 4, operation: 5, report: 6 } as const
const uint = (value: number | bigint, size: number): Hex => numberToHex(value, { size })

/** Members at their widths; of a dispute's evidence its length and hash, from the row as it was written. */
function membersOf(row: Extract<Row, { kind: 'native' | 'operation' }>): Hex {
  const { type, fields } = row.kind === 'native' ? row.native : row.operation
  if (type.attached.length === 0) return bytesToHex(type.fields.pack(fields))
  const attached = type.attached.map((name) => {
    const bytes = hexToBytes(fields[name] as Hex)
    return concatHex([uint(bytes.length, 3), bytesToHex(keccak256(bytes))])
  })
  const none = Object.fromEntries(type.attached.map((name) => [name, '0x']))
  const lists = bytesToHex(type.fields.pack({ ...fields, ...none }))
  return concatHex([lists.slice(0, lists.length - 4 * type.attached.length) as Hex, ...attached, expandedVerdict(row.verdict ?? REFUSED)])
}

function expandedVerdict(verdict: Verdict): Hex {
  if (verdict.kind === 'refused') return '0x00'
  if (verdict.kind === 'void') return concatHex(['0x01', uint(verdict.feeWei, 12)])
  const changes = verdict.changes.map(({ account, amountGwei }) => concatHex([uint(account, 4), uint(amountGwei, 6)]))
  return concatHex(['0x02', uint(verdict.feeWei, 12), uint(changes.length, 2), ...changes])
}

function expandedOf(row: Row): Hex {
  const framed = (paid: number, body: Hex) => concatHex([uint(KIND[row.kind], 1), uint(paid, 3), uint((body.length - 2) / 2, 3), body])
  if (row.kind === 'deposit') return framed(0, uint(row.index, 8))
  if (row.kind === 'l1Info') return framed(0, concatHex([uint(row.number, 8), uint(row.blobBaseFee, 16)]))
  if (row.kind === 'report') return framed(0, bytesToHex(row.report.evidence))
  if (row.kind === 'block')
    return framed(0, concatHex([uint(row.number, 8), uint(row.timestampMs, 8), uint(row.baseFeeWei, 12), row.coinbase]))
  if (row.kind === 'operation') {
    const { type, caller } = row.operation
    return framed(operationRowBytes(row.operation), concatHex([uint(type.byte, 1), caller, membersOf(row)]))
  }
  const { type, nonce, maxFeeWei, signature } = row.native
  const { yParity, r, s } = signature
  const head = concatHex([uint(type.byte, 1), uint(yParity, 1), bytesToHex(r), bytesToHex(s), uint(nonce, 8), uint(maxFeeWei, 12)])
  return framed(nativeRowBytes(row.native), concatHex([head, membersOf(row)]))
}

test('rows are read on L1 as they were written, with the weight that they have here', () =>
  fc.assert(
    fc.asyncProperty(fc.array(rows, { minLength: 1, maxLength: 16 }), async (written) => {
      const encoded = written.map(encodeRow)
      const there = await read(concatBytes(encoded))
      let end = 0
      expect(there).toEqual({
        ends: encoded.map(({ length }) => {
          end += length
          return BigInt(end)
        }),
        weight: BigInt(written.reduce((sum, row) => sum + rowWeight(row), 0)),
        isMalformed: false,
        expanded: concatHex(written.map(expandedOf)),
      })
    }),
    { numRuns: 60 },
  ))

test('changed bytes are a row on L1 if and only if they are one here, of the same length', () =>
  fc.assert(
    fc.asyncProperty(
      rows,
      fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 0x80, 1, 8))), { maxLength: 3 }),
      fc.constantFrom(-9, -1, 0, 0, 0, 1),
      async (row, changes, growth) => {
        const whole = encodeRow(row)
        const bytes = new Uint8Array(Math.max(1, whole.length + growth))
        bytes.set(whole.subarray(0, bytes.length))
        for (const [at, byte] of changes) bytes[at % Math.min(bytes.length, at % 2 === 0 ? 300 : bytes.length)] = byte
        const cursor = { bytes, at: 0, end: bytes.length }
        const here = attempt(() => takeRow(cursor, CHAIN_ID))
        const there = await read(bytes)
        expect({ bytes: bytesToHex(bytes), ends: there.ends.slice(0, 1) }).toEqual({
          bytes: bytesToHex(bytes),
          ends: here ? [BigInt(cursor.at)] : [],
        })
      },
    ),
    { numRuns: Number(process.env.TWIN_RUNS ?? 400) },
  ))

test('what is longer than a group may be is no row', async () => {
  const name = (length: number) => {
    const head = new Uint8Array(1 + 64 + 2)
    head[0] = 0x51
    return concatBytes([
      head,
      Uint8Array.of((length & 0x7f) | 0x80, length >> 7),
      new Uint8Array(length).fill(0x61),
      new Uint8Array(32 + 23),
    ])
  }
  const room = GROUP.bytes - 67 - 2 - 55
  for (const length of [room, room + 1]) {
    const bytes = name(length)
    const cursor = { bytes, at: 0, end: bytes.length }
    const here = attempt(() => takeRow(cursor, CHAIN_ID)) !== undefined
    expect([length, here, (await read(bytes)).isMalformed]).toEqual([length, length === room, length !== room])
  }
})
