/**
 * What a load is put on: our node, a devnet as people run it in a process of its own with its folder on disk, and its peer, anvil with a block a
 * second and the contract that does the same (test/bench/contracts/Hub.sol). Each hands out operations that are signed and ready to be sent.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { getContractAddress, type Hex, hexToBytes, toHex } from 'viem'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { startAnvil } from '../../node/anvil.ts'
import { freePort, startDevnet } from '../e2e/devnet.ts'
import { type HubKind, type HubStage, hubCode, hubOperation, hubSetup } from './hub.ts'
import { type Call, chunks, createJsonRpc, includeAll, type JsonRpc, rpcGround } from './jsonRpc.ts'
import { type Endpoint, type Load, prepareLoad, type Signed } from './load.ts'
import { childPid } from './measure.ts'
import { nativeOperation, type Signer, type Stage, signCall, signerFrom, signers, signNative } from './operations.ts'
import { type Ground, setStage } from './stage.ts'

const SENDERS = 256
const EARNERS = 5_000
/** Gas of the peer's blocks: never met, so that the node is measured and not the limit. */
const PEER_GAS_LIMIT = 30_000_000_000
const SETTLE_MAX_MS = 180_000
const RESTART_MAX_MS = 60_000

/** Operations of a mixed load, of which it is this many times over: 50 % uploads, 30 % credits of 10, 10 % models, 10 % single receipts. */
export const MIX = ['upload', 'credit10', 'upload', 'model', 'upload', 'credit10', 'upload', 'receipt', 'upload', 'credit10'] as const

export type Target = {
  endpoint(): Endpoint
  readonly rpc: JsonRpc
  /** The next operations, of these kinds in turn. */
  next(kinds: readonly HubKind[], count: number): readonly Signed[]
  load(signed: readonly Signed[]): Load
  close(): Promise<void>
}

export type OwnNode = Target & {
  /** Ends the node with kill -9. */
  kill(): Promise<void>
  /** Starts it again; answers the milliseconds until its first answer. */
  restart(): Promise<number>
  /** Waits until what is the head now is on L1. */
  settled(): Promise<void>
}

const UPLOADERS = signers('uploader', SENDERS)
const WORKERS = signers('worker', SENDERS)
const CLIENTS = signers('client', SENDERS)
const EARNER_ADDRESSES = signers('earner', EARNERS).map(({ address }) => address)
/** Uploaders first, then workers: a sender's number in a load is its place here. */
const ALL_SENDERS = [...UPLOADERS, ...WORKERS]
const ADDRESSES = ALL_SENDERS.map(({ address }) => address)

// ---- our node -----------------------------------------------------------------------------------------------------------------------

/** Starts a devnet with further arguments and sets the stage on it. */
export async function openOwn(args: readonly string[]): Promise<OwnNode> {
  const devnet = await startDevnet([...args, '--rpc-port', String(await freePort())])
  try {
    let rpc = createJsonRpc(devnet.ready().rpc, 4)
    const ground = await rpcGround(rpc)
    const stage = await stageOverRpc(rpc, ground)
    const nonces = new Map<Hex, bigint>()
    for (const address of ADDRESSES) nonces.set(address, await ground.nonceOf(address))
    return {
      get rpc() {
        return rpc
      },
      endpoint: () => ({ url: devnet.ready().rpc, pid: childPid('main.ts devnet'), nonceMethod: 'tributary_getLedgerNonce' }),
      next: createTurns(nonces, (kind, turn) => nativeOperation(kind, stage, turn)),
      load: (signed) => prepareLoad(signed, ADDRESSES),
      settled: () => settled(rpc),
      kill: () => devnet.kill(),
      async restart() {
        rpc.close()
        rpc = createJsonRpc(devnet.ready().rpc, 4)
        const start = performance.now()
        const started = devnet.start()
        const answered = firstAnswer(rpc)
        await started
        return (await answered) - start
      },
      async close() {
        rpc.close()
        await devnet.close()
      },
    }
  } catch (error) {
    await devnet.close()
    throw error
  }
}

/** When a node first says its height, on the clock of `performance`. */
async function firstAnswer(rpc: JsonRpc): Promise<number> {
  const until = Date.now() + RESTART_MAX_MS
  for (;;) {
    try {
      await rpc.call('eth_blockNumber')
      return performance.now()
    } catch (error) {
      if (Date.now() > until) throw error
      await sleep(10)
    }
  }
}

async function settled(rpc: JsonRpc): Promise<void> {
  const head = BigInt(await rpc.call<Hex>('eth_blockNumber'))
  const until = Date.now() + SETTLE_MAX_MS
  while (BigInt((await rpc.call<{ heads: { safe: Hex } }>('tributary_syncStatus')).heads.safe) < head) {
    if (Date.now() > until) throw new Error(`block ${head} is not on L1 after ${SETTLE_MAX_MS / 1_000} s`)
    await sleep(200)
  }
}

/** Gives everybody money, out of the devnet's accounts, and sets the stage. */
async function stageOverRpc(rpc: JsonRpc, ground: Ground): Promise<Stage> {
  const [bank, owner, ...banks] = DEVNET_KEYS.map((key) => signerFrom(hexToBytes(key)))
  if (!bank || !owner) throw new Error('the devnet has accounts')
  const pay = async (from: Signer, to: readonly Hex[], amount: bigint) => {
    const first = await ground.nonceOf(from.address)
    const raws = to.map((address, i) => {
      const fields = { kind: TRANSFER_KIND.ledger, to: address, amount }
      return signNative({ sender: from, nonce: first + BigInt(i) }, { type: transfer, fields, chainId: ground.chainId })
    })
    await ground.include(raws)
  }
  const addressesOf = (of: readonly Signer[]) => of.map(({ address }) => address)
  await pay(bank, addressesOf(WORKERS), 1_200n * OPEN_WEI)
  await pay(bank, addressesOf(UPLOADERS), 100n * OPEN_WEI)
  for (const [i, part] of chunks(EARNER_ADDRESSES, 2_000).entries()) await pay(banks[i % banks.length] ?? bank, part, 10n ** 9n)
  const set = await setStage(ground, { owner, workers: WORKERS, clients: CLIENTS, prepaidWei: 2_500n * OPEN_WEI })
  const indexes: number[] = []
  for (const part of chunks(EARNER_ADDRESSES, 100)) {
    const accounts = await rpc.batch<{ index: number | Hex }>(part.map((address): Call => ['tributary_getLedgerAccount', [address]]))
    indexes.push(...accounts.map(({ index }) => Number(index)))
  }
  return { ...set, chainId: ground.chainId, clients: CLIENTS, earners: indexes.sort((a, b) => a - b), receivers: EARNER_ADDRESSES }
}

// ---- the peer -----------------------------------------------------------------------------------------------------------------------

/** Starts a new anvil and sets the stage on it. All of them are alike: an operation that was signed for one can be sent to any. */
export async function openAnvil(): Promise<Target> {
  const anvil = await startAnvil({ blockTimeSec: 1, gasLimit: PEER_GAS_LIMIT })
  try {
    const rpc = createJsonRpc(anvil.url, 4)
    const stage = await stageOnAnvil(rpc)
    const nonces = new Map<Hex, bigint>(ADDRESSES.map((address) => [address, 0n]))
    return {
      rpc,
      endpoint: () => ({ url: anvil.url, pid: anvil.pid, nonceMethod: 'eth_getTransactionCount' }),
      next: createTurns(nonces, (kind, turn) => hubOperation(kind, stage, turn)),
      load: (signed) => prepareLoad(signed, ADDRESSES),
      async close() {
        rpc.close()
        await anvil.stop()
      },
    }
  } catch (error) {
    await anvil.stop()
    throw error
  }
}

async function stageOnAnvil(rpc: JsonRpc): Promise<HubStage> {
  const chainId = Number(await rpc.call<Hex>('eth_chainId'))
  const [owner] = DEVNET_KEYS.map((key) => signerFrom(hexToBytes(key)))
  if (!owner) throw new Error('the devnet has accounts')
  const rich = toHex(10n ** 24n)
  for (const part of chunks([owner.address, ...ADDRESSES], 100)) {
    await rpc.batch(part.map((address): Call => ['anvil_setBalance', [address, rich]]))
  }
  const hub = getContractAddress({ from: owner.address, nonce: 0n }).toLowerCase() as Hex
  const { modelId, calls } = hubSetup(owner.address, { workers: WORKERS, clients: CLIENTS })
  await includeAll(rpc, [
    signCall({ sender: owner, nonce: 0n }, chainId, { data: hubCode(), gas: 5_000_000n }),
    ...calls.map(({ data, gas, isPaid }, i) => {
      const call = { to: hub, data, gas, ...(isPaid ? { valueWei: 6n * 10n ** 23n } : {}) }
      return signCall({ sender: owner, nonce: BigInt(1 + i) }, chainId, call)
    }),
  ])
  return { chainId, hub, modelId, clients: CLIENTS, earners: EARNER_ADDRESSES }
}

// ---- both ---------------------------------------------------------------------------------------------------------------------------

type Make = (kind: HubKind, turn: { number: number; sender: Signer; nonce: bigint }) => Uint8Array

/** Operations by senders in turn: credits and receipts are their workers', the rest is uploaders'. */
function createTurns(nonces: Map<Hex, bigint>, make: Make): Target['next'] {
  const made = new Map<string, number>()
  const count = (name: string) => {
    const n = made.get(name) ?? 0
    made.set(name, n + 1)
    return n
  }
  return (kinds, wanted) =>
    Array.from({ length: wanted }, (_, i) => {
      const kind = kinds[i % kinds.length]
      if (!kind) throw new Error('there are no kinds')
      const isWork = kind.startsWith('credit') || kind === 'receipt'
      const place = count(isWork ? 'work' : 'other') % SENDERS
      const number = isWork ? SENDERS + place : place
      const sender = ALL_SENDERS[number]
      const nonce = sender && nonces.get(sender.address)
      if (!sender || nonce === undefined) throw new Error('there are no senders')
      nonces.set(sender.address, nonce + 1n)
      return { raw: make(kind, { number: count(isWork ? 'credit' : kind), sender, nonce }), sender: number }
    })
}
