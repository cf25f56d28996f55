/**
 * Random challenges of checkpoints that are right, on the contracts as they are deployed: proofs that are true of other batches, with parts exchanged and
 * changed at random, and bytes that are none. Not one of them may be taken. Spec: docs/spec/security.md
 */
import {
  type Abi,
  type AbiParameter,
  BaseError,
  bytesToHex,
  decodeErrorResult,
  decodeFunctionData,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  RpcRequestError,
} from 'viem'
import { AssertionError } from '../../../execution/assert.ts'
import { brotli } from '../../../node/brotli.ts'
import { fraudVerifierAbi, groupExecutionAbi } from '../../../settlement/abi.ts'
import { type Finding, judgeCheckpoint } from '../../../settlement/judge.ts'
import { createKzg } from '../../../settlement/kzg.ts'
import type { L1Batch } from '../../../settlement/l1Logs.ts'
import { L1_REMEMBERS, rememberedFrom } from '../../../settlement/notes.ts'
import { encodeProof, type Judged, type ProofPorts } from '../../../settlement/proof.ts'
import type { Anvil } from '../../fakes/anvil.ts'
import { type Colluders, createColluders } from '../../fakes/colluders.ts'
import { FRAUDS, type Fraud, makeBlocks, transfers } from '../../fakes/frauds.ts'

/** Numbers from 0 up to 1, the same for the same seed. Source: mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export type Challenges = {
  /** True proofs of wrong checkpoints, each of which L1 took where that checkpoint stood. */
  readonly proven: number
  /** The next challenge. */
  next(random: () => number): Hex
  /** What L1 says of it: `taken`, or why not. */
  ask(calldata: Hex): Promise<string>
}

type Call = { readonly functionName: string; readonly args: readonly unknown[] }

const abi = fraudVerifierAbi as Abi
/** Of one transaction. EIP-7825. */
const GAS = 16_777_216n

/** Two checkpoints that are right, and what can be said against them. */
export async function openChallenges(anvil: Anvil): Promise<Challenges> {
  const rollup = await createColluders(anvil)
  await makeBlocks(rollup)
  const court = { client: rollup.client, address: rollup.genesis.l1.fraudVerifier }
  const trues = await proveFrauds(rollup, 'calldata')
  await rollup.bond()
  const first = await rollup.post(rollup.forge(), { da: 'blob' })
  const one = await rollup.submit(first)
  rollup.keep(first)
  await rollup.build(await transfers(rollup, 3, 19))
  const two = await rollup.submit(await rollup.post(rollup.forge()))

  const path = await batchesOf(rollup)
  const [before, last] = path.slice(-2)
  if (!before || !last) throw new Error('two batches were posted')
  const targets: Judged[] = [
    { id: one.id, checkpoint: one.checkpoint, path: [before] },
    { id: two.id, checkpoint: two.checkpoint, path: [before, last] },
  ]
  const calls = trues.map(({ calldata }) => decode(calldata))
  const ports = portsOf(rollup, path)
  for (const { finding } of trues) {
    for (const target of targets) {
      const encoded = await encodeProof(target, finding, ports, { pointsMax: undefined }).catch(nothing)
      if (encoded) calls.push(decode(encoded.calldata))
    }
  }
  return {
    proven: trues.length,
    next: (random) => makeChallenge(calls, targets, random),
    ask: (calldata) => ask(court, calldata),
  }
}

/** A wrong checkpoint's true proof: what it is of, how it is shown, and the gas of its transaction. */
export type Proven = { readonly name: string; readonly finding: Finding; readonly calldata: Hex; readonly gas: bigint }

/** A proof of each kind of wrong batch that is posted in this way, which L1 takes; afterwards L1 is as it was. */
export async function proveFrauds(rollup: Colluders, da: 'blob' | 'calldata'): Promise<Proven[]> {
  const proven: Proven[] = []
  for (const [name, fraud] of Object.entries<Fraud>(FRAUDS)) {
    proven.push({ name, ...(await proveOne(rollup, fraud, fraud.isOfBlobs ? 'blob' : da)) })
  }
  return proven
}

/** Not every proof can be made of every batch: it may have no such group. */
function nothing(error: unknown): undefined {
  const isOfBytes = error instanceof Error && error.name === 'Malformed'
  if (!isOfBytes && !(error instanceof AssertionError) && !(error instanceof RangeError) && !(error instanceof BaseError)) throw error
}

/** A wrong checkpoint with its proof, which L1 takes; afterwards L1 is as it was. */
async function proveOne(rollup: Colluders, fraud: Fraud, da: 'blob' | 'calldata') {
  const { client, l1, genesis, accumulator } = rollup
  const snapshot = await client.snapshot()
  await rollup.bond()
  const { id, checkpoint } = await rollup.submit(await fraud.make(rollup, da))
  const batches = await batchesOf(rollup)
  const path = batches.filter(({ index }) => index === checkpoint.batchIndex)
  const deposits = await l1.deposits(genesis.l1.origin.number, await l1.blockByTag('latest'))
  const { findings } = await judgeCheckpoint(
    checkpoint,
    path,
    {
      nextIndex: 0n,
      root: rollup.genesisLedgerRoot,
      source: rollup.chain.store.reader,
      parent: { timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number },
      params: genesis.params,
    },
    {
      data: l1.batchData,
      l1Block: l1.blockByNumber,
      deposit: async (index) => deposits[Number(index)],
      decompress: brotli.decompress,
      pause: async () => {},
    },
  )
  const [finding] = findings
  if (!finding || path.length !== 1 || path[0]?.header.prevAccumulator !== accumulator) throw new Error('a wrong batch is judged alone')
  const judged = { id, checkpoint, path }
  const { calldata } = await encodeProof(judged, finding, portsOf(rollup, batches), { pointsMax: undefined })
  const answer = await ask({ client, address: genesis.l1.fraudVerifier }, calldata)
  if (answer !== 'taken') throw new Error(`a true proof is not taken: ${answer}`)
  const gas = await client.estimateGas({ to: genesis.l1.fraudVerifier, data: calldata, gas: GAS })
  await client.revert({ id: snapshot })
  return { finding, calldata, gas }
}

async function batchesOf({ l1, genesis }: Colluders): Promise<L1Batch[]> {
  return l1.batches(genesis.l1.origin.number, await l1.blockByTag('latest'))
}

function portsOf({ l1, genesis }: Colluders, batches: readonly L1Batch[]): ProofPorts {
  return {
    kzg: createKzg(),
    data: l1.batchData,
    batch: (accumulator) => batches.find((batch) => batch.accumulator === accumulator),
    async l1Headers(number, last) {
      const from = await l1.blockByNumber(number)
      return from ? l1.headers(from, last) : []
    },
    l1Remembered: async () => rememberedFrom((await l1.blockByTag('latest')).number, L1_REMEMBERS),
    notes: () => l1.notes(genesis.l1.origin.number),
    deposits: async () => l1.deposits(genesis.l1.origin.number, await l1.blockByTag('latest')),
  }
}

// ---- what is asked

function decode(calldata: Hex): Call {
  const { functionName, args = [] } = decodeFunctionData({ abi, data: calldata })
  return { functionName, args: args as readonly unknown[] }
}

/** One of the calls, with parts of others of its kind and parts that are changed; now and then bytes that are no call. */
function makeChallenge(calls: readonly Call[], targets: readonly Judged[], random: () => number): Hex {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T
  const call = pick(calls)
  const inputs = inputsOf(call.functionName)
  const alike = calls.filter(({ functionName }) => functionName === call.functionName)
  const args = call.args.map((arg, i) => {
    const other = random() < 0.3 ? pick(alike).args[i] : arg
    return splice(inputs[i] as AbiParameter, other, pick(alike).args[i], random)
  })
  const changes = Math.floor(random() * 4)
  for (let change = 0; change < changes; change++) {
    const at = Math.floor(random() * args.length)
    args[at] = mutate(inputs[at] as AbiParameter, args[at], random)
  }
  // Most are about one of the checkpoints that stand: what is of none is refused at once.
  if (random() < 0.8) aim(args, pick(targets), random)
  const calldata = encodeFunctionData({ abi, functionName: call.functionName, args })
  return random() < 0.05 ? mutateBytes(calldata, random) : calldata
}

/** Has a call speak of this checkpoint, and mostly of one of its batches. */
function aim(args: unknown[], { id, checkpoint, path }: Judged, random: () => number): void {
  if (typeof args[0] === 'bigint') {
    args[0] = id
    args[1] = checkpoint
    return
  }
  const claimed = args[0] as Record<string, unknown>
  const links = path.slice(Math.floor(random() * path.length)).map(({ index, header, dataHash }) => ({ index, header, dataHash }))
  args[0] = { ...claimed, id, checkpoint, ...(random() < 0.8 && { links: links.reverse() }) }
}

function inputsOf(functionName: string): readonly AbiParameter[] {
  const item = abi.find((one) => one.type === 'function' && one.name === functionName)
  return item?.type === 'function' ? item.inputs : []
}

const isTuple = (parameter: AbiParameter): parameter is AbiParameter & { readonly components: readonly AbiParameter[] } =>
  'components' in parameter && parameter.type === 'tuple'

/** The value with some of its members taken from another of its kind. */
function splice(parameter: AbiParameter, value: unknown, other: unknown, random: () => number): unknown {
  if (!isTuple(parameter)) return random() < 0.1 ? other : value
  const [own, theirs] = [value as Record<string, unknown>, other as Record<string, unknown>]
  return Object.fromEntries(
    parameter.components.map((member) => {
      const name = member.name ?? ''
      return [name, random() < 0.15 ? theirs[name] : splice(member, own[name], theirs[name], random)]
    }),
  )
}

/** The value with one thing changed, of the same type. */
function mutate(parameter: AbiParameter, value: unknown, random: () => number): unknown {
  const { type } = parameter
  const list = /^(.*)\[(\d*)\]$/.exec(type)
  if (list)
    return mutateList({ ...parameter, type: list[1] ?? '' } as AbiParameter, value as readonly unknown[], {
      random,
      isFixed: list[2] !== '',
    })
  if (isTuple(parameter)) {
    const member = parameter.components[Math.floor(random() * parameter.components.length)] as AbiParameter
    const name = member.name ?? ''
    const own = value as Record<string, unknown>
    return { ...own, [name]: mutate(member, own[name], random) }
  }
  if (type.startsWith('uint')) return mutateUint(value as bigint | number, Number(type.slice(4)), random)
  if (type === 'bytes') return mutateBytes(value as Hex, random)
  if (type === 'bool') return !value
  return flip(value as Hex, random)
}

function mutateList(
  item: AbiParameter,
  items: readonly unknown[],
  { random, isFixed }: { readonly random: () => number; readonly isFixed: boolean },
): readonly unknown[] {
  const at = Math.floor(random() * items.length)
  const how = isFixed ? 0 : Math.floor(random() * 4)
  if (items.length === 0 || how === 3) return isFixed ? items : items.slice(0, at)
  if (how === 1) return items.toSpliced(at, 1)
  if (how === 2) return items.toSpliced(at, 0, items[Math.floor(random() * items.length)])
  return items.with(at, mutate(item, items[at], random))
}

function mutateUint(value: bigint | number, bits: number, random: () => number): bigint | number {
  const most = 2n ** BigInt(bits) - 1n
  const own = BigInt(value)
  const values = [0n, own + 1n, own - 1n, most, BigInt(Math.floor(random() * 300)), own ^ (1n << BigInt(Math.floor(random() * bits)))]
  const picked = values[Math.floor(random() * values.length)] ?? 0n
  const within = picked < 0n ? 0n : picked > most ? most : picked
  return bits <= 48 ? Number(within) : within
}

/** A bit flipped, an end cut off, some bytes more, or none. */
function mutateBytes(bytes: Hex, random: () => number): Hex {
  const how = Math.floor(random() * 8)
  if (how === 0) return '0x'
  if (how === 1) return bytes.slice(0, 2 + 2 * Math.floor((random() * (bytes.length - 2)) / 2)) as Hex
  if (how === 2) return `${bytes}${'00'.repeat(1 + Math.floor(random() * 40))}`
  return bytes.length > 2 ? flip(bytes, random) : bytes
}

function flip(bytes: Hex, random: () => number): Hex {
  const own = hexToBytes(bytes)
  const at = Math.floor(random() * own.length)
  return bytesToHex(own.with(at, (own[at] ?? 0) ^ (1 << Math.floor(random() * 8))))
}

// ---- what L1 says

async function ask({ client, address }: { readonly client: Colluders['client']; readonly address: Hex }, data: Hex): Promise<string> {
  try {
    await client.call({ to: address, data, gas: GAS })
    return 'taken'
  } catch (error) {
    const answer = error instanceof BaseError ? error.walk((cause) => cause instanceof RpcRequestError) : undefined
    if (!(answer instanceof RpcRequestError)) throw error
    return nameOf(answer.data as Hex | undefined) ?? answer.details.slice(0, 60)
  }
}

function nameOf(data: Hex | undefined): string | undefined {
  if (data === undefined || data === '0x') return 'reverted without a word'
  try {
    return decodeErrorResult({ abi: [...abi, ...(groupExecutionAbi as Abi)], data }).errorName
  } catch (error) {
    if (error instanceof BaseError) return data.slice(0, 10)
    throw error
  }
}
