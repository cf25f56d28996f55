/**
 * What proofs of groups take of a transaction of L1: the gas of a witness, made as of a large ledger, and of the openings. Spec: docs/spec/fraud.md#bounds
 */
import { createHash } from 'node:crypto'
import { bytesToHex, concatBytes, encodeFunctionData, type Hex, hexToBytes, numberToBytes } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bitOf } from '../../../execution/ledger/tree.ts'
import { GROUP, LIMIT } from '../../../genesis/params.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { stageClient } from '../../fakes/l1Stage.ts'
import { deployWatcher, watcherAbi } from './watcher.ts'

/** EIP-7825. */
const TX_GAS_MAX = 16_777_216
/** Of a record of earnings, which credits touch most. */
const RECORD_BYTES = 194
/** A point evaluation with what is around it, and the bytes of call data that it brings: value, proof, and its share of the commitment. */
const OPENING = { gas: 54_800, bytes: 31 + 48 + 10 }
/** Head, the entries of the group, the next and the one before, the block row, and the first byte behind: elements that every proof opens. */
const FRAME_ELEMENTS = 14
/** Everything that is left out here: the transaction, links of batches, deposits, and what rules do with what they read. */
const REST_GAS = 1_200_000

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let address: Hex
beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  address = await deployWatcher(client, { chainId: 1, epochSec: 1, epochBlocks: 0 })
}, 60_000)
afterAll(() => anvil?.stop())

const digest = (text: string) => new Uint8Array(createHash('sha256').update(text).digest())

/** A witness of so many records, each of them as deep as in a ledger of 2^depth. */
function deepWitness(records: number, depthMax: number): { witness: Uint8Array; news: Hex[] } {
  const keys = Array.from({ length: records }, (_, i) => digest(`key ${i}`)).toSorted(Buffer.compare)
  const record = (i: number, version: number) =>
    concatBytes(Array.from({ length: 7 }, (_, k) => digest(`${version} ${i} ${k}`))).subarray(0, RECORD_BYTES)
  const parts: Uint8Array[] = [numberToBytes(records, { size: 2 })]
  for (const [i, key] of keys.entries()) parts.push(key, numberToBytes(RECORD_BYTES, { size: 2 }), record(i, 0))
  const push = (touched: readonly Uint8Array[], depth: number): void => {
    const [first] = touched
    if (!first || (touched.length === 1 && depth >= depthMax)) {
      parts.push(first ? Uint8Array.of(1) : digest(`aside ${parts.length}`))
      return
    }
    parts.push(Uint8Array.of(3))
    push(
      touched.filter((key) => !bitOf(key, depth)),
      depth + 1,
    )
    push(
      touched.filter((key) => bitOf(key, depth)),
      depth + 1,
    )
  }
  push(keys, 0)
  return { witness: concatBytes(parts), news: keys.map((_, i) => bytesToHex(record(i, 1))) }
}

/** Gas of a proof that opens so many bytes of rows and touches so many records. Source of the floor: EIP-7623. */
async function proofGas(records: number, rowBytes: number, depth: number): Promise<number> {
  const { witness, news } = deepWitness(records, depth)
  const call = { address, abi: watcherAbi, functionName: 'rootsOf', args: [bytesToHex(witness), news], gas: 55_000_000n } as const
  const { result } = await client.simulateContract(call)
  const elements = FRAME_ELEMENTS + Math.ceil(rowBytes / 31) + 1
  const data = hexToBytes(encodeFunctionData({ ...call, args: [bytesToHex(witness), []] }))
  const zeros = data.filter((byte) => byte === 0).length
  const tokens = zeros + 4 * (data.length - zeros + elements * OPENING.bytes)
  return Math.max(Number(result[2]) + 4 * tokens + elements * OPENING.gas + REST_GAS, 10 * tokens + 21_000)
}

/** Records that a credit touches, besides draws and entries, with its sender and what every group has. */
const CREDIT_RECORDS = 93 + 6

/** Records and bytes of rows, and the largest ledger (in bits of its number of records) at which a proof of them is held to fit. */
const GROUPS: Record<string, readonly [records: number, rowBytes: number, depth: number]> = {
  'sixteen uploads': [16 * 4 + 8, 16 * 135, 30],
  'a credit of 100 entries, of a model of 2 datanets': [11 + 6 + 6 + 2 + 100, 965, 30],
  'a credit of 100 entries, of any model': [CREDIT_RECORDS + 2 + 100, 965, 30],
  'a credit of all draws': [CREDIT_RECORDS + 2 * LIMIT.drawsPerCredit + 8, 165 + 200 * LIMIT.drawsPerCredit + 6 * 8, 24],
  'a claim of all epochs': [6 + 2 + 2 * LIMIT.epochsPerClaim, 72 + 3 * LIMIT.epochsPerClaim, 24],
  'a credit of all entries': [CREDIT_RECORDS + 2 + LIMIT.entriesPerCredit - LIMIT.entriesPerDraw, 165 + 200 + 6 * 198, 20],
  'the heaviest group of several rows': [Math.floor(GROUP.weight / GROUP.weightPerRecord) + 6, 600, 24],
}

test('proofs of these groups fit one transaction, in ledgers up to these sizes', { timeout: 120_000 }, async () => {
  for (const [name, [records, rowBytes, depth]] of Object.entries(GROUPS)) {
    const gas = await proofGas(records, rowBytes, depth)
    process.stdout.write(`gas of a proof at 2^${depth} records, ${name}: ${gas}\n`)
    expect(gas, name).toBeLessThan(TX_GAS_MAX)
  }
})
