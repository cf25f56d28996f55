/** The batch whose bytes test/vectors/batch.json pins: every kind of row, every type of Ethereum transaction, a block without anything. */
import { RLP } from '@ethereumjs/rlp'
import { concatBytes, type Hex, hexToBytes } from 'viem'
import { encodeNative, NATIVE_TYPES } from '../../execution/native/native.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import type { Row } from '../../execution/native/row.ts'
import { encodeReport, reportOf } from '../../execution/report.ts'
import { EVIDENCE_BYTES } from '../../genesis/params.ts'
import type { Batch, BatchParent } from '../../settlement/batch.ts'
import { encodeLane, groupsOf } from '../../settlement/lane.ts'

export const VECTOR_CHAIN_ID = 73_571
export const VECTOR_PARENT: BatchParent = { timestampMs: 1_800_000_000_000, originNumber: 10n }

const address = (byte: string): Hex => `0x${byte.repeat(20)}`
const word = (byte: string): Hex => `0x${byte.repeat(32)}`
const [ALICE, BOB, COINBASE, OTHER_COINBASE] = ['a1', 'b0', 'c0', 'c1'].map(address) as [Hex, Hex, Hex, Hex]

function typeNamed(name: string): NativeType {
  const type = NATIVE_TYPES.find((one) => one.name === name)
  if (!type) throw new Error(`there is no type ${name}`)
  return type
}

/** Signed by nobody: a batch does not look. */
function native(name: string, nonce: bigint, fields: FieldValues): Row {
  const signature = { yParity: 1 as const, r: hexToBytes(word('11')), s: hexToBytes(word('22')) }
  return { kind: 'native', native: { type: typeNamed(name), chainId: VECTOR_CHAIN_ID, nonce, maxFeeWei: 10n ** 18n, fields, signature } }
}

const datanet = { name: 'Field notes', schemaHash: word('44'), licence: 0x1_000f, curator: BOB, joinPolicy: 1, uploadBond: 9n }
const upload = {
  ...{ datanetId: 1, contentRoot: word('33'), contentId: '0x0155', recordCount: 12, byteCount: 3_456n },
  contributors: [{ account: BOB, shareBps: 10_000, role: 1 }],
}

/** Rows of blocks 5 and 7, more than one group of them; block 6 has none. */
export const VECTOR_ROWS: readonly Row[] = [
  { kind: 'block', number: 5n, timestampMs: 1_800_000_000_250, baseFeeWei: 10n ** 9n, coinbase: COINBASE },
  { kind: 'l1Info', number: 12n, blobBaseFee: 7n },
  { kind: 'deposit', index: 3n },
  { kind: 'operation', operation: { type: typeNamed('Transfer'), caller: ALICE, fields: { kind: 0, to: BOB, amount: 7n } } },
  { kind: 'deposit', index: 4n },
  { kind: 'report', report: reportOf(Uint8Array.from({ length: EVIDENCE_BYTES }, (_, i) => (i * 7 + 1) % 256)) },
  native('Transfer', 0n, { kind: 3, to: BOB, amount: 10n ** 20n }),
  native('DatanetCreate', 1n, datanet),
  { kind: 'block', number: 7n, timestampMs: 1_800_000_002_001, baseFeeWei: 875_000_000n, coinbase: OTHER_COINBASE },
  native('DatanetUpload', 2n, upload),
  native('Claim', 3n, { epochs: [1, 2, 400_000_000] }),
  ...Array.from({ length: 8 }, (_, i) => native('Transfer', BigInt(4 + i), { kind: 0, to: ALICE, amount: BigInt(i + 1) })),
]

/** They, in two groups. */
export const VECTOR_GROUPS = groupsOf(VECTOR_ROWS.map((row) => ({ row, block: 0n, txIndex: undefined, checked: undefined })))

const ofLane = VECTOR_ROWS.flatMap((row) => {
  if (row.kind === 'report') return [encodeReport(row.report)]
  return row.kind === 'native' ? [encodeNative(row.native)] : []
})

/** `items` behind what all types begin and end with: chain id and nonce, y parity and signature. */
function typed(type: number, ...items: RlpItem[]): Uint8Array {
  const list = RLP.encode([
    hexToBytes('0x011f63'),
    Uint8Array.of(9),
    ...items,
    Uint8Array.of(1),
    hexToBytes(word('66')),
    hexToBytes(word('77')),
  ])
  return concatBytes([Uint8Array.of(type), list])
}

type RlpItem = Uint8Array | RlpItem[]
const [gas, price, to, value, data] = ['0x5208', '0x04a817c800', BOB, '0x0de0b6b3a7640000', '0xdeadbeef'].map((hex) =>
  hexToBytes(hex as Hex),
) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
const accessList = [[to, [hexToBytes(word('88'))]]]
const authorizations = [[Uint8Array.of(1), to, new Uint8Array(), Uint8Array.of(1), hexToBytes(word('99')), hexToBytes(word('aa'))]]
const none = new Uint8Array()

/** One transaction of each of Ethereum's types, one of them a creation. */
export const VECTOR_EVM: readonly Uint8Array[] = [
  typed(2, none, price, gas, to, value, data, []),
  RLP.encode([Uint8Array.of(8), price, gas, none, value, data, hexToBytes('0x023ee9'), hexToBytes(word('66')), hexToBytes(word('77'))]),
  typed(4, none, price, gas, to, none, none, accessList, authorizations),
  typed(1, price, gas, to, value, none, accessList),
  typed(2, price, price, gas, to, none, new Uint8Array(60).fill(0xee), accessList),
]

/** The batch of blocks 5 to 7. */
export const VECTOR_BATCH: Batch = {
  index: 1n,
  firstBlock: 5n,
  commit: { round: 2, bitmap: Uint8Array.of(0b101), signature: new Uint8Array(96).map((_, i) => i) },
  blocks: [
    {
      timestampMs: 1_800_000_000_250,
      originNumber: 12n,
      coinbase: COINBASE,
      transactions: [...ofLane.slice(0, 1), ...VECTOR_EVM.slice(0, 1), ...ofLane.slice(1, 3)],
    },
    { timestampMs: 1_800_000_001_250, originNumber: 12n, coinbase: COINBASE, transactions: [] },
    {
      timestampMs: 1_800_000_002_001,
      originNumber: 12n,
      coinbase: OTHER_COINBASE,
      transactions: [...ofLane.slice(3, 6), ...VECTOR_EVM.slice(1), ...ofLane.slice(6)],
    },
  ],
  ledgerRootBefore: word('4b'),
  lane: encodeLane(VECTOR_GROUPS),
  ledgerRoots: [word('55'), word('5a')],
}
