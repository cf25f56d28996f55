/**
 * Our node in a load harness for several kinds of node: its operations (plain values: uploads, credits, models, receipts) as native transactions,
 * the money and the registrations that they need, and the reads. The node is a devnet that runs already.
 *
 *     node load.mjs --url http://127.0.0.1:8545 --mode native --adapter …/test/bench/peersAdapter.ts --kinds upload,credit10 --pid PID
 *
 * What differs from the harness's contract, so that figures are read rightly: an upload names one contributor and goes through a datanet's rules; a
 * credit carries a client's signed voucher, and its amounts are a sixteenth (the devnet's money is finite); a receipt is a window of one, drawn
 * from its client. Clients' signatures are checked by the node in all credits.
 */
import { bytesToHex, encodeFunctionData, type Hex, hexToBytes, padHex, stringToBytes, toHex } from 'viem'
import { keccak256 } from '../../execution/keccak.ts'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { datanetsDoorAbi } from '../../execution/native/doorAbi.ts'
import { modelRegister } from '../../execution/native/modelRegister.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { DOOR, ENTRY_WEI, OPEN_WEI } from '../../genesis/params.ts'
import { chunks } from './jsonRpc.ts'
import { creditFields, type Entries, modelFields, type Signer, type Stage, signerFrom, signers, signNative } from './operations.ts'
import { type Ground, setStage } from './stage.ts'

/** An operation as the harness makes it. */
export type HarnessOperation =
  | {
      readonly kind: 'upload' | 'uploadLean'
      readonly datanetId: bigint
      readonly contentRoot: Uint8Array
      readonly cid: Uint8Array
      readonly records: bigint
      readonly size: bigint
    }
  | { readonly kind: 'model'; readonly modelId: Uint8Array; readonly datanetIds: readonly bigint[] }
  | { readonly kind: 'receipt'; readonly requestHash: Uint8Array }
  | {
      readonly kind: `credit${number}`
      readonly receiptId: Uint8Array
      readonly to: readonly Uint8Array[]
      readonly amounts: readonly bigint[]
    }

/** What the harness keeps of a chain; `setup` adds ours. It is copied to the threads that sign. */
export type HarnessContext = {
  readonly chainId: number
  readonly senders: number
  readonly setupTimeoutMs: number
  /** How many accounts the harness draws contributors from; 5,000 unless told. */
  readonly contributors?: number
  stage?: Stage
  /** Ledger indexes of contributors, by address. */
  indexes?: ReadonlyMap<Hex, number>
  /** By this the harness tells chains apart when it looks for operations that it signed before. */
  hub?: Uint8Array
}

/** The harness's client. An array's call that was refused has an Error in its place. */
export type HarnessRpc = {
  call(method: string, params?: readonly unknown[]): Promise<unknown>
  batch(calls: readonly (readonly [string, readonly unknown[]])[]): Promise<unknown[]>
  waitReceipts(hashes: readonly Hex[], timeoutMs: number): Promise<unknown>
}

/** The harness's seed and first datanet. */
const SEED = 'bench-peers/1'
const FIRST_DATANET = 1_000n
const CONTRIBUTORS = 5_000
const CLIENTS = 256
/** Kinds whose senders are workers. */
const WORKER_KINDS = /^(credit\d+|receipt|mix)$/

/** Address of the account that the harness's credits pay, by its number. */
export function contributor(number: number): Hex {
  return bytesToHex(keccak256(stringToBytes(`${SEED}|contributor|${number}|`)).subarray(12))
}

/** The account that sends operations of a kind, by its number. */
export function harnessSender(kind: string, number: number): Signer {
  return signerFrom(keccak256(stringToBytes(`${SEED}|key|sender-${kind}|${number}|`)))
}

/** The raw signed transaction of an operation. */
export function encode(
  operation: HarnessOperation,
  { nonce, key }: { readonly nonce: number; readonly key: Uint8Array },
  { stage, indexes }: HarnessContext,
): Uint8Array {
  if (!stage || !indexes) throw new Error('setup comes first')
  const turn = { sender: signerFrom(key), nonce: BigInt(nonce) }
  const { chainId } = stage
  switch (operation.kind) {
    case 'upload':
    case 'uploadLean':
      return signNative(turn, { type: datanetUpload, fields: toUpload(operation, stage, turn.sender), chainId })
    case 'model':
      return signNative(turn, { type: modelRegister, fields: toModel(operation, stage), chainId })
    case 'receipt': {
      const fields = creditFields(stage, { ...turn, number: numberOf(operation.requestHash) }, { accounts: [], amountsGwei: [] })
      return signNative(turn, { type: attributionCredit, fields, chainId })
    }
    default: {
      const fields = creditFields(stage, { ...turn, number: numberOf(operation.receiptId) }, toEntries(operation, indexes))
      return signNative(turn, { type: attributionCredit, fields, chainId })
    }
  }
}

/** Gives senders, workers, clients and contributors what they need, out of the devnet's accounts, and sets the stage. */
export async function setup(context: HarnessContext, rpc: HarnessRpc, kinds: readonly string[]): Promise<void> {
  const [owner, ...banks] = DEVNET_KEYS.map((key) => signerFrom(hexToBytes(key)))
  const [bank] = banks
  if (!owner || !bank) throw new Error('the devnet has accounts')
  const ground = groundOf(context, rpc)
  const sendersOf = (kind: string) => Array.from({ length: context.senders }, (_, i) => harnessSender(kind, i))
  const workers: Signer[] = []
  for (const [i, kind] of kinds.entries()) {
    const senders = sendersOf(kind)
    const isWorker = WORKER_KINDS.test(kind)
    await pay(ground, banks[i % banks.length] ?? bank, { to: senders, amountWei: (isWorker ? 1_200n : 100n) * OPEN_WEI })
    if (isWorker) workers.push(...senders)
  }
  const clients = signers('client', CLIENTS)
  const set = await setStage(ground, { owner, workers, clients, prepaidWei: 2_500n * OPEN_WEI })
  const contributors = Array.from({ length: context.contributors ?? CONTRIBUTORS }, (_, i) => contributor(i))
  for (const [i, part] of chunks(contributors, 2_000).entries())
    await pay(ground, banks[i % banks.length] ?? bank, { to: part.map((address) => ({ address })), amountWei: ENTRY_WEI })
  context.indexes = await indexesOf(rpc, contributors)
  context.stage = { ...set, chainId: context.chainId, clients, earners: [...context.indexes.values()], receivers: contributors }
  context.hub = keccak256(hexToBytes(set.modelId)).slice(0, 20)
  countLedgerNonces(rpc, new Set(kinds.flatMap((kind) => sendersOf(kind).map(({ address }) => address))))
}

/** Reads that are measured, as [method, params]. */
export function reads(
  { stage }: HarnessContext,
  { fromBlock, toBlock, fullBlock }: { readonly fromBlock: number; readonly toBlock: number; readonly fullBlock: number },
): Readonly<Record<string, readonly [string, readonly unknown[]]>> {
  const range = { fromBlock: toHex(fromBlock), toBlock: toHex(toBlock), address: DOOR.datanets }
  const datanetOf = (place: number) => stage?.datanetIds[place] ?? 1
  const data = encodeFunctionData({ abi: datanetsDoorAbi, functionName: 'getDatanet', args: [datanetOf(0)] })
  return {
    blockNumber: ['eth_blockNumber', []],
    getBalance: ['eth_getBalance', [harnessSender('upload', 0).address, 'latest']],
    call: ['eth_call', [{ to: DOOR.datanets, data }, 'latest']],
    getBlockFull: ['eth_getBlockByNumber', [toHex(fullBlock), true]],
    getLogs: ['eth_getLogs', [range]],
    getLogsTopic: ['eth_getLogs', [{ ...range, topics: [null, padHex(toHex(datanetOf(40)), { size: 32 })] }]],
  }
}

type UploadOperation = Extract<HarnessOperation, { readonly kind: 'upload' | 'uploadLean' }>
type CreditOperation = Extract<HarnessOperation, { readonly to: readonly Uint8Array[] }>

function toUpload({ datanetId, contentRoot, cid, records, size }: UploadOperation, stage: Stage, { address }: Signer) {
  return {
    datanetId: datanetIn(stage, datanetId),
    contentRoot: bytesToHex(contentRoot),
    contentId: bytesToHex(cid),
    recordCount: Number(records),
    byteCount: size,
    contributors: [{ account: address, shareBps: 10_000, role: 1 }],
  }
}

function toModel({ modelId, datanetIds }: Extract<HarnessOperation, { readonly kind: 'model' }>, stage: Stage) {
  return modelFields({ name: bytesToHex(modelId).slice(2, 34), datanetIds: [...new Set(datanetIds.map((id) => datanetIn(stage, id)))] })
}

function toEntries({ to, amounts }: CreditOperation, indexes: ReadonlyMap<Hex, number>): Entries {
  const entries = to.map((address, i) => {
    const index = indexes.get(bytesToHex(address))
    if (index === undefined) throw new Error('a contributor has no index')
    return { index, amountGwei: 1 + (Number((amounts[i] ?? 0n) / ENTRY_WEI) >>> 4) }
  })
  entries.sort((a, b) => a.index - b.index)
  return { accounts: entries.map(({ index }) => index), amountsGwei: entries.map(({ amountGwei }) => amountGwei) }
}

function datanetIn({ datanetIds }: Stage, id: bigint): number {
  return datanetIds[Number(id - FIRST_DATANET) % datanetIds.length] ?? 0
}

/** A number that is the operation's own, out of its hash. */
function numberOf(hash: Uint8Array): number {
  return new DataView(hash.buffer, hash.byteOffset, hash.byteLength).getUint32(0)
}

async function pay(
  ground: Ground,
  from: Signer,
  { to, amountWei }: { readonly to: readonly { readonly address: Hex }[]; readonly amountWei: bigint },
): Promise<void> {
  const first = await ground.nonceOf(from.address)
  const raws = to.map(({ address }, i) => {
    const fields = { kind: TRANSFER_KIND.ledger, to: address, amount: amountWei }
    return signNative({ sender: from, nonce: first + BigInt(i) }, { type: transfer, fields, chainId: ground.chainId })
  })
  await ground.include(raws)
}

function groundOf({ chainId, setupTimeoutMs }: HarnessContext, rpc: HarnessRpc): Ground {
  return {
    chainId,
    nonceOf: async (address) => BigInt((await rpc.call('tributary_getLedgerNonce', [address, 'latest'])) as Hex),
    lastDatanetId: async () => Number(((await rpc.call('tributary_getCounters')) as { datanets: number }).datanets),
    async include(raws) {
      const parts = chunks(raws, 50)
      for (const part of parts)
        await answers(
          rpc,
          part.map((raw) => ['eth_sendRawTransaction', [bytesToHex(raw)]] as const),
        )
      const hashesOf = (part: readonly Uint8Array[]) => part.map((raw) => bytesToHex(keccak256(raw)))
      for (const part of parts) await rpc.waitReceipts(hashesOf(part), setupTimeoutMs)
    },
  }
}

async function indexesOf(rpc: HarnessRpc, addresses: readonly Hex[]): Promise<Map<Hex, number>> {
  const indexes = new Map<Hex, number>()
  for (const part of chunks(addresses, 50)) {
    const accounts = await answers(
      rpc,
      part.map((address) => ['tributary_getLedgerAccount', [address]] as const),
    )
    for (const [i, address] of part.entries()) indexes.set(address, Number((accounts[i] as { index: number }).index))
  }
  return indexes
}

async function answers(rpc: HarnessRpc, calls: readonly (readonly [string, readonly unknown[]])[]): Promise<unknown[]> {
  const results = await rpc.batch(calls)
  for (const result of results) if (result instanceof Error) throw result
  return results
}

/**
 * The harness counts what is mined by its senders' transaction counts. Ours are native, and their nonces stand in the ledger: from here on every
 * client of the harness asks for those.
 */
function countLedgerNonces(rpc: HarnessRpc, senders: ReadonlySet<Hex>): void {
  const shared = Object.getPrototypeOf(rpc) as HarnessRpc
  const { batch } = shared
  shared.batch = function (this: HarnessRpc, calls) {
    const asked = calls.map(([method, params]) => {
      const isCount = method === 'eth_getTransactionCount' && senders.has(String(params[0]) as Hex)
      return [isCount ? 'tributary_getLedgerNonce' : method, params] as const
    })
    return batch.call(this, asked)
  }
}
