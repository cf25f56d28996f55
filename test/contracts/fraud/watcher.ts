/** The execution of groups on an anvil, and groups as L1 is given them. */
import {
  bytesToHex,
  concatHex,
  encodeFunctionData,
  getContractAddress,
  type Hex,
  hexToBytes,
  hexToString,
  numberToHex,
  parseAbi,
  trim,
  zeroHash,
} from 'viem'
import { groupWatcherBytecode } from '../../../contracts/artifacts.ts'
import { groupExecutionCreations, type TwinParams } from '../../../contracts/deployFraud.ts'
import type { Deposit } from '../../../execution/deposit.ts'
import { type BlockRow, encodeRow } from '../../../execution/native/row.ts'
import type { LaneLookups, LaneRow, LaneStart } from '../../../settlement/lane.ts'
import { type WitnessedGroup, witnessGroup } from '../../../settlement/witness.ts'
import { mined, type StageClient } from '../../fakes/l1Stage.ts'

export const watcherAbi = parseAbi([
  'struct BlockContext { uint64 number; uint64 timestampMs; uint96 baseFeeWei; address coinbase; }',
  'struct L1Facts { uint64 number; bytes32 hash; uint64 timestampSec; uint256 baseFeeWei; bytes32 prevRandao; }',
  'struct DepositFacts { uint64 index; uint64 l1Block; address from; address to; bytes opaqueData; }',
  'struct Group { bytes32 preRoot; bytes32 postRoot; BlockContext context; uint256 rowCount; bytes rows; L1Facts[] infos; DepositFacts[] deposits; uint64 depositCount; }',
  'function watchGroup(Group group, bytes witness) returns (bool isRefused, bytes32 root, bytes32 code, bytes32[] failures, uint256 gasUsed)',
  'function rootsOf(bytes witness, bytes[] news) returns (bytes32 oldRoot, bytes32 newRoot, uint256 gasUsed)',
  'error CannotProve(uint8 typeByte)',
  'error WrongRoot(bytes32 root)',
  'error BadGroup()',
  'error DepositMissing(uint64 index)',
  'error RecordMissing(bytes32 key)',
  'error BadWitness()',
  'error BadStream()',
  'error Unreadable()',
])

/** Gas of a call that has to be answered whatever it takes: anvil's limit for a block is what a transaction of L1 never reaches. */
const CALL_GAS = 55_000_000n

/** Deploys verifiers and watcher. */
export async function deployWatcher(client: StageClient, params: TwinParams): Promise<Hex> {
  const from = client.account.address
  const nonce = await client.getTransactionCount({ address: from })
  const at = (place: number) => getContractAddress({ from, nonce: BigInt(nonce + place) })
  const creations = groupExecutionCreations(params, at, groupWatcherBytecode)
  for (const creation of creations) await mined(client, await client.sendTransaction(creation))
  return at(creations.length - 1)
}

export type WatchedGroup = {
  readonly isRefused: boolean
  readonly root: Hex
  readonly code: string
  /** Reasons of the transactions that failed. */
  readonly failures: readonly string[]
  readonly gasUsed: number
  /** Gas of a transaction that brings group and witness as they are and does nothing else. */
  readonly txGas: number
}

/** What the contract says of a group. */
export async function watchGroup(
  client: StageClient,
  address: Hex,
  group: ReturnType<typeof toGroup>,
  witness: Uint8Array,
): Promise<WatchedGroup> {
  const call = { address, abi: watcherAbi, functionName: 'watchGroup', args: [group, bytesToHex(witness)], gas: CALL_GAS } as const
  const { result } = await client.simulateContract(call)
  const [isRefused, root, code, failures, gasUsed] = result
  return {
    isRefused,
    root,
    code: textOf(code),
    failures: failures.map(textOf),
    gasUsed: Number(gasUsed),
    txGas: txGas(encodeFunctionData(call), Number(gasUsed)),
  }
}

/** Source: EIP-2028, EIP-7623. */
function txGas(data: Hex, gasUsed: number): number {
  const bytes = hexToBytes(data)
  const zeros = bytes.filter((byte) => byte === 0).length
  const tokens = zeros + 4 * (bytes.length - zeros)
  return 21_000 + Math.max(gasUsed + 4 * tokens, 10 * tokens)
}

function textOf(code: Hex): string {
  return code === zeroHash ? '' : hexToString(trim(code, { dir: 'right' }))
}

/** A group as L1 is given it; `ruling` is the block row that rules its first row. */
export function toGroup(
  rows: readonly LaneRow[],
  { preRoot, ruling, lookups, depositCount }: { preRoot: Hex; ruling: BlockRow; lookups: LaneLookups; depositCount: bigint },
) {
  const infos = rows.flatMap(({ row }) => {
    const info = row.kind === 'l1Info' ? lookups.l1Info(row.number) : undefined
    if (!info) return []
    const { number, hash, timestampSec, baseFee, prevRandao } = info
    return [{ number, hash, timestampSec, baseFeeWei: baseFee, prevRandao }]
  })
  return {
    preRoot,
    postRoot: preRoot,
    context: { number: ruling.number, timestampMs: BigInt(ruling.timestampMs), baseFeeWei: ruling.baseFeeWei, coinbase: ruling.coinbase },
    rowCount: BigInt(rows.length),
    rows: concatHex(rows.map(({ row }) => bytesToHex(encodeRow(row)))),
    infos,
    deposits: [] as { index: bigint; l1Block: bigint; from: Hex; to: Hex; opaqueData: Hex }[],
    depositCount,
  }
}

/** A deposit as the portal told of it. */
export function toFacts(index: bigint, l1Block: bigint, { from, to, mintWei, valueWei, gas, data }: Deposit) {
  const head = [numberToHex(mintWei, { size: 32 }), numberToHex(valueWei, { size: 32 }), numberToHex(gas, { size: 8 })]
  const opaqueData = concatHex([...head, to === undefined ? '0x01' : '0x00', data])
  return { index, l1Block, from, to: to ?? (`0x${'00'.repeat(20)}` as Hex), opaqueData }
}

/** The group by both: here and on L1. */
export type BothWays = { readonly here: WitnessedGroup; readonly there: WatchedGroup }

export async function bothWays(
  { client, watcher }: { client: StageClient; watcher: Hex },
  start: LaneStart & { readonly ruling: BlockRow },
  rows: readonly LaneRow[],
  depositCount = 0n,
  deposits: ReturnType<typeof toFacts>[] = [],
): Promise<BothWays> {
  const here = witnessGroup(start, rows)
  const { ruling, lookups, root } = start
  // Rows of disputes say their verdicts once they were executed.
  const judged = here.result.ok ? here.result.rows : rows
  const group = { ...toGroup(judged, { preRoot: root, ruling, lookups, depositCount }), deposits }
  return { here, there: await watchGroup(client, watcher, group, here.witness) }
}
