/**
 * contracts/fraud/FraudVerifier.sol: each kind of wrong batch falls by one transaction below the cap, from blobs and from call data, and nothing that is shown
 * of a right one makes a checkpoint fall. What is around the verifier is contracts/test/FraudStage.sol. Spec: docs/spec/fraud.md#what-can-be-shown
 */
import fc from 'fast-check'
import {
  type Abi,
  concatHex,
  encodeAbiParameters,
  encodeDeployData,
  encodeFunctionData,
  type Hex,
  keccak256,
  numberToHex,
  parseAbi,
  parseEventLogs,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fraudStageBytecode, fraudVerifierBytecode, notesBytecode, rowReaderBytecode } from '../../contracts/artifacts.ts'
import { encodeRow, type Row } from '../../execution/native/row.ts'
import { fraudVerifierAbi, notesAbi } from '../../settlement/abi.ts'
import { encodeBatch } from '../../settlement/batch.ts'
import { findStructureFault, rangesOfFault, rangesOfGroup, readHead, type StructureFault } from '../../settlement/fraud.ts'
import { type BatchHeader, batchAccumulator, blobDataHash, CALL_DATA_BYTES_MAX, callDataHash } from '../../settlement/inbox.ts'
import { createKzg } from '../../settlement/kzg.ts'
import { encodeLane, groupsOf } from '../../settlement/lane.ts'
import { openBlobs, openCallData, type PayloadWitness } from '../../settlement/openings.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../fakes/anvil.ts'
import { mined, stageClient } from '../fakes/l1Stage.ts'
import { VECTOR_BATCH, VECTOR_CHAIN_ID, VECTOR_PARENT, VECTOR_ROWS } from '../settlement/batchVector.ts'

const stageAbi = parseAbi([
  'function set(bytes32 checkpoint, bytes32 genesis, bytes32 genesisRoot)',
  'event Invalidated(uint64 id, address challenger)',
])
const CHECKPOINT = [
  {
    type: 'tuple',
    components: [
      { type: 'uint64', name: 'lastBlock' },
      { type: 'bytes32', name: 'blockHash' },
      { type: 'bytes32', name: 'evmRoot' },
      { type: 'bytes32', name: 'ledgerRoot' },
      { type: 'uint64', name: 'batchIndex' },
      { type: 'bytes32', name: 'batchAccumulator' },
      { type: 'uint64', name: 'depositCursor' },
    ],
  },
] as const
const ANSWER = [{ type: 'bool' }, { type: 'bytes32' }, { type: 'bytes32' }] as const

/** What one transaction may use. Source: EIP-7825. */
const GAS_CAP = 16_777_216n
const GENESIS: Hex = keccak256('0x67')
const GENESIS_ROOT: Hex = keccak256('0x68')
const ZERO: Hex = `0x${'00'.repeat(32)}`
const PREDECESSOR = 1n
const stored = (bytes: Uint8Array) => bytes.slice()
const kzg = createKzg()

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let stage: Hex
let verifier: Hex
let notes: Hex
beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const rows = await created(rowReaderBytecode)
  stage = await created(concatHex([fraudStageBytecode, encodeAbiParameters([{ type: 'address' }], [rows])]))
  notes = await created(notesBytecode)
  verifier = await created(encodeDeployData({ abi: fraudVerifierAbi as Abi, bytecode: fraudVerifierBytecode, args: [stage, stage, notes] }))
}, 60_000)
afterAll(() => anvil?.stop())

async function created(data: Hex): Promise<Hex> {
  const { contractAddress } = await mined(client, await client.sendTransaction({ data }))
  if (!contractAddress) throw new Error('no contract was made')
  return contractAddress
}

const rootOf = (i: number): Hex => numberToHex(0x51 + i, { size: 32 })

/** A payload whose head and groups fit its rows; the root after group i is `rootOf(i)`. */
function payloadOf(rows: readonly Row[], index: bigint, ledgerRootBefore = GENESIS_ROOT, compress = stored): Uint8Array {
  const lane = encodeLane(groupsOf(rows.map((row) => ({ row, block: 0n, txIndex: undefined, checked: undefined }))))
  const ledgerRoots = lane.places.map((_, i) => rootOf(i))
  const encoded = encodeBatch({ ...VECTOR_BATCH, index, ledgerRootBefore, lane, ledgerRoots }, { parent: VECTOR_PARENT, compress })
  if (!encoded.ok) throw new Error(encoded.code)
  return encoded.payload
}

type Link = { readonly index: bigint; readonly header: BatchHeader; readonly dataHash: Hex }

const linkOf = (
  payload: Uint8Array,
  { index, prevAccumulator, dataHash = callDataHash(payload) }: { index: bigint; prevAccumulator: Hex; dataHash?: Hex },
): Link => ({
  index,
  dataHash,
  header: {
    prevAccumulator,
    firstBlock: 5n,
    lastBlock: 7n,
    lastBlockHash: ZERO,
    l1OriginNumber: 12n,
    l1OriginHash: ZERO,
    payloadBytes: payload.length,
  },
})

/** A batch without rows behind the genesis file, and one with this payload behind it, the checkpoint's own unless another follows. */
async function claim(
  payload: Uint8Array,
  witness: PayloadWitness,
  { follower = false, ledgerRoot = rootOf(1), empty = payloadOf([], 0n) } = {},
) {
  const before = linkOf(empty, { index: PREDECESSOR - 1n, prevAccumulator: GENESIS })
  const dataHash = witness.versionedHashes.length > 0 ? blobDataHash(witness.versionedHashes) : callDataHash(payload)
  const own = linkOf(payload, { index: PREDECESSOR + 2n, prevAccumulator: batchAccumulator(before), dataHash })
  const later = follower ? [linkOf(empty, { index: 9n, prevAccumulator: batchAccumulator(own) })] : []
  const links = [...later, own]
  const last = links[0] ?? own
  const checkpoint = {
    ...{ lastBlock: 7n, blockHash: ZERO, evmRoot: ZERO, ledgerRoot, depositCursor: 0n },
    ...{ batchIndex: last.index, batchAccumulator: batchAccumulator(last) },
  }
  const hash = keccak256(encodeAbiParameters(CHECKPOINT, [checkpoint]))
  await mined(
    client,
    await client.writeContract({ address: stage, abi: stageAbi, functionName: 'set', args: [hash, GENESIS, GENESIS_ROOT] }),
  )
  return { claimed: { id: 3n, checkpoint, from: ZERO, links, payload: witness }, before: { link: before, payload: openCallData(empty) } }
}

type Claim = Awaited<ReturnType<typeof claim>>

function callOf(fault: StructureFault, { claimed, before }: Claim): { functionName: string; args: readonly unknown[] } {
  if (fault.kind === 'head') return { functionName: 'proveHead', args: [claimed] }
  if (fault.kind === 'index') return { functionName: 'proveIndex', args: [claimed, before.link] }
  if (fault.kind === 'padding') return { functionName: 'provePadding', args: [claimed, BigInt(fault.place)] }
  if (fault.kind === 'rows') return { functionName: 'proveRows', args: [claimed, fault.group] }
  return { functionName: 'proveOrder', args: [claimed, fault.places] }
}

/** Gas of the proof's transaction, after which the checkpoint fell to its sender; undefined if it reverts. */
async function fall(call: { functionName: string; args: readonly unknown[] }): Promise<bigint | undefined> {
  const data = encodeFunctionData({ abi: fraudVerifierAbi as Abi, ...call })
  const stands = await client.call({ to: verifier, data, gas: GAS_CAP }).then(
    () => false,
    () => true,
  )
  if (stands) return undefined
  const receipt = await mined(client, await client.sendTransaction({ to: verifier, data, gas: GAS_CAP }))
  const [event] = parseEventLogs({ abi: stageAbi, logs: receipt.logs })
  expect(event?.args).toEqual({ id: 3n, challenger: client.account.address })
  return receipt.gasUsed
}

const kindOf = (kind: Row['kind']): Row => VECTOR_ROWS.find((row) => row.kind === kind) as Row
const far = [...VECTOR_ROWS.slice(0, 7), ...Array.from({ length: 30 }, () => kindOf('operation')), kindOf('deposit')]

/** Wrong payloads and the proof that each falls by; of each kind the longest proof first. */
const WRONG: Readonly<Record<string, { readonly kind: StructureFault['kind']; payload(): Uint8Array }>> = {
  'a version that there is not': { kind: 'head', payload: () => changed(0, 2) },
  'a group less than there are': { kind: 'head', payload: () => changed(23, 1) },
  'another first block': { kind: 'head', payload: () => changed(16, 6) },
  'an index that is not behind its predecessor': { kind: 'index', payload: () => changed(8, 3) },
  'a byte behind the head': { kind: 'padding', payload: () => changed(185, 1) },
  'the entry of another block row': { kind: 'rows', payload: () => changed(groupsAt() + 43, 2) },
  'a kind of row that there is not': { kind: 'rows', payload: () => changed(186, 9) },
  'a fee that is longer than need': { kind: 'rows', payload: () => changed(186 + 8, 0x30) },
  'a block row beyond the batch': { kind: 'rows', payload: () => changed(186 + 1, 9) },
  'an L1 origin beyond the batch': { kind: 'rows', payload: () => changed(186 + 30 + 1, 13) },
  'the entry of another place': { kind: 'rows', payload: () => changed(groupsAt() + 40, 1) },
  'a deposit behind a native row, two groups later': { kind: 'order', payload: () => payloadOf([...far, kindOf('native')], PREDECESSOR) },
}
const groupsAt = () => 186 + VECTOR_ROWS.reduce((sum, row) => sum + encodeRow(row).length, 0)
function changed(at: number, byte: number): Uint8Array {
  const payload = payloadOf(VECTOR_ROWS, PREDECESSOR)
  payload[at] = byte
  return payload
}

const gas: Record<string, number> = {}

for (const [name, { kind, payload }] of Object.entries(WRONG)) {
  test(`${name}: the checkpoint falls, from call data and from blobs, also where another batch follows`, { timeout: 60_000 }, async () => {
    const wrong = payload()
    const fault = findStructureFault(wrong, {
      place: PREDECESSOR,
      header: { firstBlock: 5n, lastBlock: 7n, l1OriginNumber: 12n },
      chainId: VECTOR_CHAIN_ID,
    })
    expect(fault?.kind).toBe(kind)
    if (!fault) return
    expect(await fall(callOf(fault, await claim(wrong, openCallData(wrong), { follower: true })))).toBeLessThan(GAS_CAP)
    // The first of each kind element by element, which is the most that it can cost; the others by the blob whole: that is one proof and not forty.
    const pointsMax = kind === 'order' || gas[kind] !== undefined ? 0 : 200
    const witness = await openBlobs(kzg, wrong, rangesOfFault(wrong, fault), pointsMax)
    const used = await fall(callOf(fault, await claim(wrong, witness)))
    expect(used).toBeLessThan(GAS_CAP)
    gas[kind] ??= Number(used)
    // Nothing of it can be shown of the same batch as it should be.
    const right = payloadOf(VECTOR_ROWS, PREDECESSOR)
    expect(await fall(callOf(fault, await claim(right, openCallData(right))))).toBeUndefined()
  })
}

test('a wrong root after a group, a refused row, and a wrong root of the checkpoint: the checkpoint falls', {
  timeout: 60_000,
}, async () => {
  const payload = payloadOf(VECTOR_ROWS, PREDECESSOR)
  const head = readHead(payload)
  const witness = await openBlobs(kzg, payload, [{ first: 0, end: 2 }, ...rangesOfGroup(payload, head, 1)])
  const made = await claim(payload, witness)
  const group = (isRefused: boolean, root: Hex) => ({
    functionName: 'proveGroup',
    args: [made.claimed, 1, { l1Headers: [], deposits: [], ledger: encodeAbiParameters(ANSWER, [isRefused, root, ZERO]) }],
  })
  expect(await fall(group(false, rootOf(1)))).toBeUndefined()
  const used = await fall(group(false, rootOf(7)))
  expect(used).toBeLessThan(GAS_CAP)
  gas['group, less its execution'] = Number(used)
  expect(await fall(group(true, ZERO))).toBeLessThan(GAS_CAP)

  const final = (one: Claim) => fall({ functionName: 'proveFinalRoot', args: [one.claimed] })
  expect(await final(made)).toBeUndefined()
  expect(await final(await claim(payload, witness, { ledgerRoot: rootOf(0) }))).toBeLessThan(GAS_CAP)
  const nothing = payloadOf([], PREDECESSOR)
  expect(await final(await claim(nothing, openCallData(nothing), { ledgerRoot: GENESIS_ROOT }))).toBeUndefined()
  expect(await final(await claim(nothing, openCallData(nothing), { ledgerRoot: rootOf(0) }))).toBeLessThan(GAS_CAP)
})

test('a batch starts from the root after its predecessor, or from that of genesis, and its first group from what it says', {
  timeout: 60_000,
}, async () => {
  const rows = VECTOR_ROWS.filter(({ kind }) => kind === 'block' || kind === 'native')
  const proveBefore = async (payload: Uint8Array) => {
    const { claimed, before } = await claim(payload, openCallData(payload))
    const elsewhere = { ...before, link: { ...before.link, index: 4n } }
    expect(await fall({ functionName: 'proveRootBefore', args: [claimed, elsewhere] })).toBeUndefined()
    return fall({ functionName: 'proveRootBefore', args: [claimed, before] })
  }
  // The predecessor has no rows: it ends with the root that it begins with.
  expect(await proveBefore(payloadOf(rows, PREDECESSOR))).toBeUndefined()
  expect(await proveBefore(payloadOf(rows, PREDECESSOR, rootOf(5)))).toBeLessThan(GAS_CAP)
  expect(await proveBefore(payloadOf([], PREDECESSOR, rootOf(5)))).toBeLessThan(GAS_CAP)

  const payload = payloadOf(rows, PREDECESSOR, rootOf(6))
  const { claimed } = await claim(
    payload,
    await openBlobs(kzg, payload, [{ first: 0, end: 2 }, ...rangesOfGroup(payload, readHead(payload), 0)]),
  )
  const ledger = encodeAbiParameters(ANSWER, [true, ZERO, ZERO])
  const data = encodeFunctionData({
    abi: fraudVerifierAbi as Abi,
    functionName: 'proveGroup',
    args: [claimed, 0, { l1Headers: [], deposits: [], ledger }],
  })
  const { logs } = await mined(client, await client.sendTransaction({ to: verifier, data, gas: GAS_CAP }))
  const [executed] = logs.filter(({ address }) => address === stage)
  expect(executed?.data).toContain(rootOf(6).slice(2))
})

test('the largest two neighbours in call data are shown together by one transaction', { timeout: 60_000 }, async () => {
  const head = payloadOf([], 0n, GENESIS_ROOT, () => new Uint8Array()).length
  const full = (index: bigint, root: Hex) => payloadOf([], index, root, () => new Uint8Array(CALL_DATA_BYTES_MAX - head).fill(0xff))
  const [earlier, wrong] = [full(0n, GENESIS_ROOT), full(PREDECESSOR, rootOf(5))]
  expect([earlier.length, wrong.length]).toEqual([CALL_DATA_BYTES_MAX, CALL_DATA_BYTES_MAX])
  const { claimed, before } = await claim(wrong, openCallData(wrong), { empty: earlier })
  const used = await fall({ functionName: 'proveRootBefore', args: [claimed, before] })
  expect(used).toBeLessThan(GAS_CAP)
  gas['root before, two full payloads of call data'] = Number(used)
})

test('a batch behind a way that is too long for one transaction is shown from where notes end', { timeout: 60_000 }, async () => {
  const wrong = changed(0, 2)
  const empty = payloadOf([], 0n)
  const first = linkOf(wrong, { index: 1n, prevAccumulator: GENESIS })
  const way = [first]
  while (way.length < 8) way.unshift(linkOf(empty, { index: BigInt(way.length + 1), prevAccumulator: batchAccumulator(way[0] ?? first) }))
  const [own = first] = way
  const checkpoint = {
    ...{ lastBlock: 7n, blockHash: ZERO, evmRoot: ZERO, ledgerRoot: ZERO, depositCursor: 0n },
    ...{ batchIndex: own.index, batchAccumulator: batchAccumulator(own) },
  }
  const hash = keccak256(encodeAbiParameters(CHECKPOINT, [checkpoint]))
  await mined(
    client,
    await client.writeContract({ address: stage, abi: stageAbi, functionName: 'set', args: [hash, GENESIS, GENESIS_ROOT] }),
  )
  const prove = (from: Hex, links: readonly Link[]) =>
    fall({ functionName: 'proveHead', args: [{ id: 3n, checkpoint, from, links, payload: openCallData(wrong) }] })
  const note = async (from: Hex, links: readonly Link[]) =>
    mined(
      client,
      await client.writeContract({
        address: notes,
        abi: notesAbi,
        functionName: 'noteAncestor',
        args: [batchAccumulator(own), from, links],
      }),
    )

  const [fourth = first, seventh = first] = [way[3], way[6]].filter((link) => link !== undefined)
  expect(await prove(batchAccumulator(seventh), way.slice(6))).toBeUndefined()
  await expect(note(batchAccumulator(fourth), way.slice(3, 6))).rejects.toThrow(/NotNoted/)
  await note(ZERO, way.slice(0, 3))
  await expect(note(batchAccumulator(fourth), way.slice(4, 6))).rejects.toThrow(/BatchMismatch/)
  await note(batchAccumulator(fourth), way.slice(3, 6))
  // Not from elsewhere, and not to what is not behind it.
  expect(await prove(batchAccumulator(seventh), way.slice(7))).toBeUndefined()
  expect(await prove(batchAccumulator(first), way.slice(7))).toBeUndefined()
  expect(await prove(batchAccumulator(seventh), way.slice(6))).toBeLessThan(GAS_CAP)
})

test('whatever is asked of a right batch, and whatever is claimed of another one, no checkpoint falls', { timeout: 120_000 }, async () => {
  const payload = payloadOf(VECTOR_ROWS, PREDECESSOR)
  const made = await claim(payload, openCallData(payload))
  const { claimed, before } = made
  const place = fc.record({ group: fc.nat(2), row: fc.nat(17) })
  const calls = fc.oneof(
    fc.constant({ functionName: 'proveHead', args: [claimed] }),
    fc.nat(20).map((index) => ({ functionName: 'proveIndex', args: [claimed, { ...before.link, index: BigInt(index) }] })),
    fc.nat(payload.length + 100).map((at) => ({ functionName: 'provePadding', args: [claimed, BigInt(at)] })),
    fc.nat(3).map((group) => ({ functionName: 'proveRows', args: [claimed, group] })),
    fc.array(place, { maxLength: 4 }).map((places) => ({ functionName: 'proveOrder', args: [claimed, places] })),
    fc.constant({ functionName: 'proveFinalRoot', args: [claimed] }),
    fc.constant({ functionName: 'proveRootBefore', args: [claimed, before] }),
    // Other bytes under the same hash, other headers under the same accumulator, another checkpoint under the same id.
    fc
      .nat(payload.length - 1)
      .map((at) => ({ functionName: 'proveHead', args: [{ ...claimed, payload: openCallData(changed(at, (payload[at] ?? 0) ^ 1)) }] })),
    fc.nat(30).map((index) => ({
      functionName: 'proveHead',
      args: [{ ...claimed, links: claimed.links.map((link) => ({ ...link, header: { ...link.header, firstBlock: BigInt(index) + 6n } })) }],
    })),
    fc.nat(255).map((i) => ({
      functionName: 'proveFinalRoot',
      args: [{ ...claimed, checkpoint: { ...claimed.checkpoint, ledgerRoot: rootOf(i + 2) } }],
    })),
  )
  await fc.assert(
    fc.asyncProperty(calls, async (call) => {
      expect({ call: call.functionName, gas: await fall(call) }).toEqual({ call: call.functionName, gas: undefined })
    }),
    { numRuns: 250 },
  )
  process.stdout.write(`gas of fraud proofs from blobs: ${JSON.stringify(gas)}\n`)
})
