/**
 * Proofs of fraud: what settlement/judge.ts found, as the call of contracts/fraud/FraudVerifier.sol that shows it, with everything that L1 has to see for
 * it. Spec: docs/spec/fraud.md#what-can-be-shown
 */
import { bytesToHex, encodeFunctionData, type Hex, numberToBytes, zeroHash } from 'viem'
import { assert } from '../execution/assert.ts'
import { fraudVerifierAbi } from './abi.ts'
import { HEAD_BYTES } from './batch.ts'
import type { Checkpoint } from './checkpoint.ts'
import { depositBranch, depositLeaf, depositLog } from './depositTree.ts'
import { rangesOfFault, rangesOfGroup, rangesOfLastRoot, readHead } from './fraud.ts'
import { type BatchFault, type Finding, type GroupFault, roomOf } from './judge.ts'
import type { Kzg } from './kzg.ts'
import type { BatchData } from './l1.ts'
import type { L1Batch, L1Deposit } from './l1Logs.ts'
import { encodeNoteL1Parent, type Notes, noneNoted, planHeaders, planLinks, toLink } from './notes.ts'
import { ELEMENTS_PER_BLOB, type ElementRange, openBlobs, openCallData, type PayloadWitness, pointOf } from './openings.ts'

/** A checkpoint that was judged, with its path: the batches from the first one that was not taken to its own. */
export type Judged = { readonly id: bigint; readonly checkpoint: Checkpoint; readonly path: readonly L1Batch[] }

export type ProofPorts = {
  readonly kzg: Pick<Kzg, 'commit' | 'prove'>
  /** What a batch carries. Throws L1Error. */
  data(batch: L1Batch): Promise<BatchData>
  /** The batch that has this accumulator; undefined: it is the genesis file's. */
  batch(accumulator: Hex): L1Batch | undefined
  /** Headers of canonical L1 blocks as they are hashed, from the one of this number down to `last`. Throws L1Error. */
  l1Headers(from: bigint, last: bigint): Promise<readonly Uint8Array[]>
  /** Number of the oldest L1 block that L1 remembers by itself until a proof is included. Throws L1Error. */
  l1Remembered(): Promise<bigint>
  /** What L1 was shown already. Throws L1Error. */
  notes(): Promise<Notes>
  /** All deposits of the portal that are queued at L1's head, in order. Throws L1Error. */
  deposits(): Promise<readonly L1Deposit[]>
}

/** Elements of a blob that are shown each by itself at most, before it is shown whole; undefined: whatever costs less. */
export type ProofOptions = { readonly pointsMax: number | undefined }

/** Call data of a proof, for the verifier; or of what has to be noted first, for the notes, after which one asks again. */
export type Encoded = { readonly kind: 'proof' | 'note'; readonly calldata: Hex }

/** The proof, or a note. Throws L1Error. A blob's opening takes some 90 ms an element. */
export async function encodeProof(judged: Judged, finding: Finding, ports: ProofPorts, options: ProofOptions): Promise<Encoded> {
  const note = await encodeNote(judged, finding, ports)
  if (note !== undefined) return { kind: 'note', calldata: note }
  const shower = createShower(judged, ports, options)
  return { kind: 'proof', calldata: await encodeFinding(shower, judged, finding, ports) }
}

/** What has to be noted before the finding can be shown; undefined: nothing. */
async function encodeNote({ path }: Judged, finding: Finding, ports: ProofPorts): Promise<Hex | undefined> {
  const batch = finding.kind === 'batch' ? path[finding.batch] : undefined
  if (finding.kind !== 'batch' || !batch) return undefined
  const way = await findWay(path, finding.batch, ports)
  if (!way.ok) return way.note
  if (finding.fault.kind !== 'group') return undefined
  const plan = await findHeaders(batch, finding.fault, ports)
  return plan.ok ? undefined : encodeNoteL1Parent(await ports.l1Headers(plan.note.from, plan.note.last))
}

/** What is noted is asked for only where a proof has no room for all. */
async function findWay(path: readonly L1Batch[], at: number, ports: ProofPorts) {
  const way = path.slice(at).reverse()
  const all = planLinks(way, noneNoted)
  return all.ok ? all : planLinks(way, await ports.notes())
}

async function findHeaders({ header }: L1Batch, { l1Numbers: numbers }: GroupFault, ports: ProofPorts) {
  const question = { numbers, origin: header.l1OriginNumber, remembered: await ports.l1Remembered() }
  const all = planHeaders(question, noneNoted)
  return all.ok ? all : planHeaders(question, await ports.notes())
}

async function encodeFinding(shower: Shower, { id, checkpoint, path }: Judged, finding: Finding, ports: ProofPorts): Promise<Hex> {
  if (finding.kind === 'deposits') {
    const { record, siblings } = finding.l1Record
    assert(record, 'every ledger has an L1 record')
    const [deposit] = await witnessDeposits([finding.deposit], ports)
    assert(deposit, 'a deposit that was left out was queued')
    return encodeFunctionData({ abi, functionName: 'proveDeposits', args: [id, checkpoint, record, siblings, deposit] })
  }
  if (finding.kind === 'finalRoot') {
    const claimed = await shower.claim(shower.own(), rangesOfLastRoot)
    return encodeFunctionData({ abi, functionName: 'proveFinalRoot', args: [claimed] })
  }
  const batch = path[finding.batch]
  assert(batch, 'what is wrong with a batch of the path is there')
  return encodeFault(shower, batch, finding.fault, ports)
}

const abi = fraudVerifierAbi

async function encodeFault(shower: Shower, batch: L1Batch, fault: BatchFault, ports: ProofPorts): Promise<Hex> {
  if (fault.kind === 'group') return encodeGroup(shower, batch, fault, ports)
  if (fault.kind === 'element') {
    const { value, commitment, proof } = await openElement(batch, fault.element, ports)
    const claimed = await shower.claim(batch, () => [])
    return encodeFunctionData({ abi, functionName: 'proveElement', args: [claimed, BigInt(fault.element), value, commitment, proof] })
  }
  if (fault.kind === 'rows') {
    // Whatever is wrong with them, and whatever L1 looks at first.
    const claimed = await shower.claim(batch, (payload) => [...HEAD, ...rangesOfGroup(payload, readHead(payload), fault.group)])
    return encodeFunctionData({ abi, functionName: 'proveRows', args: [claimed, fault.group] })
  }
  // Where the batch follows the genesis file, what stands for its predecessor is not looked at.
  const before = ports.batch(batch.header.prevAccumulator) ?? batch
  if (fault.kind === 'rootBefore') {
    const predecessor = { link: toLink(before), payload: await shower.show(before, rangesOfLastRoot) }
    const claimed = await shower.claim(batch, () => HEAD)
    return encodeFunctionData({ abi, functionName: 'proveRootBefore', args: [claimed, predecessor] })
  }
  const claimed = await shower.claim(batch, (payload) => rangesOfFault(payload, fault))
  if (fault.kind === 'head') return encodeFunctionData({ abi, functionName: 'proveHead', args: [claimed] })
  if (fault.kind === 'padding') return encodeFunctionData({ abi, functionName: 'provePadding', args: [claimed, BigInt(fault.place)] })
  if (fault.kind === 'order') return encodeFunctionData({ abi, functionName: 'proveOrder', args: [claimed, fault.places] })
  return encodeFunctionData({ abi, functionName: 'proveIndex', args: [claimed, toLink(before)] })
}

async function encodeGroup(shower: Shower, batch: L1Batch, fault: GroupFault, ports: ProofPorts): Promise<Hex> {
  const { group } = fault
  const claimed = await shower.claim(batch, (payload) => [...HEAD, ...rangesOfGroup(payload, readHead(payload), group)])
  const plan = await findHeaders(batch, fault, ports)
  assert(plan.ok, 'what has to be noted was noted before')
  const headers: Uint8Array[] = []
  for (const { from, last } of plan.runs) headers.push(...(await ports.l1Headers(from, last)))
  const witness = {
    l1Headers: headers.map((header) => bytesToHex(header)),
    deposits: await witnessDeposits(fault.deposits, ports),
    ledger: bytesToHex(fault.witness),
  }
  return encodeFunctionData({ abi, functionName: 'proveGroup', args: [claimed, group, witness] })
}

const HEAD: readonly ElementRange[] = [{ first: 0, end: 2 }]

type Ranges = (payload: Uint8Array) => readonly ElementRange[]
type Shower = ReturnType<typeof createShower>

/** Shows batches of a checkpoint, and those before them, of a payload that is shorter than a head nothing. */
function createShower({ id, checkpoint, path }: Judged, ports: ProofPorts, { pointsMax }: ProofOptions) {
  async function show(batch: L1Batch, ranges: Ranges): Promise<PayloadWitness> {
    const { payloadBytes } = batch.header
    const data = await dataOf(batch, ports)
    if (data.kind === 'callData') return openCallData(data.payload)
    // With what is behind the payload, which has to be shown where it is not zero.
    const room = roomOf(data.blobs)
    const wanted = payloadBytes < HEAD_BYTES ? [] : ranges(room.subarray(0, payloadBytes))
    if (wanted.length === 0) return { versionedHashes: data.versionedHashes, payload: '0x', points: [], blobs: [] }
    return openBlobs(ports.kzg, room, wanted, pointsMax)
  }

  return {
    /** The checkpoint's own batch. */
    own(): L1Batch {
      const batch = path.at(-1) ?? ports.batch(checkpoint.batchAccumulator)
      assert(batch, 'a checkpoint has its batch')
      return batch
    },
    show,
    /** The checkpoint, and the way from its batch back to this one. */
    async claim(batch: L1Batch, ranges: Ranges) {
      const at = path.indexOf(batch)
      const way = at === -1 ? { ok: true as const, from: zeroHash, links: [toLink(batch)] } : await findWay(path, at, ports)
      assert(way.ok, 'what has to be noted was noted before')
      return { id, checkpoint, from: way.from, links: way.links, payload: await show(batch, ranges) }
    },
  }
}

async function dataOf(batch: L1Batch, ports: ProofPorts): Promise<Exclude<BatchData, { kind: 'unread' }>> {
  const data = await ports.data(batch)
  assert(data.kind !== 'unread', 'what was judged was read')
  return data
}

/** An element of a blob as it stands there, with the proof that it does. */
async function openElement(batch: L1Batch, element: number, ports: ProofPorts) {
  const data = await dataOf(batch, ports)
  const blob = data.kind === 'blobs' ? data.blobs[Math.floor(element / ELEMENTS_PER_BLOB)] : undefined
  assert(blob, 'an element is one of a blob')
  const z = numberToBytes(pointOf(element % ELEMENTS_PER_BLOB), { size: 32 })
  const { y, proof } = await ports.kzg.prove(blob, z)
  return { value: bytesToHex(y), commitment: bytesToHex(await ports.kzg.commit(blob)), proof: bytesToHex(proof) }
}

async function witnessDeposits(indexes: readonly bigint[], ports: ProofPorts) {
  if (indexes.length === 0) return []
  const all = await ports.deposits()
  const leaves = all.map(depositLeaf)
  return indexes.map((index) => {
    const found = all[Number(index)]
    assert(found?.index === index, 'deposits are counted from 0')
    const { from } = found.deposit
    const facts = { index, l1Block: found.l1Block.number, from, ...depositLog(found.deposit) }
    return { facts, siblings: depositBranch(leaves, Number(index)) }
  })
}
