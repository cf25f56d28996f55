/**
 * The network in a process of its own (node/p2pProcess.ts), as the node sees it: the same as p2p/network.ts gives in one process. A process that ends
 * is started anew, after a wait that grows, at the same address and under the same name; meanwhile the node has no peers.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import type { Direct, DirectOptions, ValidatorPeer } from '../p2p/direct.ts'
import { noCounts } from '../p2p/directCounts.ts'
import type { HostOptions, P2pLog } from '../p2p/host.ts'
import type { NetworkMetrics, NetworkPorts, PeerNetwork } from '../p2p/network.ts'
import { P2pError } from '../p2p/p2pError.ts'
import type { BlocksAnswer } from '../p2p/sync.ts'
import { type BlockNews, decodeTransactions } from '../p2p/wire.ts'
import type { LoopDelay } from './loopDelay.ts'
import { createPipe, type Pipe } from './p2pPipe.ts'

/** What the process is told first. */
export type OpenNetwork = Pick<HostOptions, 'seed' | 'genesisHash' | 'listen' | 'bootstrap'> & {
  /** Where its pipe of consensus messages ends; undefined: there are no direct streams. */
  readonly messagesAt: string | undefined
}

/** What the process is told when it knows its name. */
export type SaidHello = { readonly hello: Uint8Array | undefined; readonly hasBlockCheck: boolean }

export type OpenedNetwork = { readonly peerId: string; readonly addresses: readonly string[] }

/** Of the process, since it last told. */
export type ProcessFacts = {
  /** Longest that its event loop was late. */
  readonly delayMs: number
  readonly rssBytes: number
  /** Words that it had no room for on their way here. */
  readonly pipeDrops: number
  readonly pipeWaitingBytes: number
}

/** Of the network and its process. */
export type ChildMetrics = NetworkMetrics & {
  readonly process: ProcessFacts & {
    readonly restarts: number
    readonly isUp: boolean
    readonly delayMaxMs: number
    readonly tellDrops: number
  }
}

/** Direct streams, but for their messages: what they carry comes and goes at the door. */
export type ChildDirect = Omit<Direct, 'broadcast' | 'sendTo'>

export type ChildNetwork = Omit<PeerNetwork, 'metrics' | 'direct'> & {
  readonly direct: ChildDirect | undefined
  /** Of a moment ago. Undefined: the process has not told any yet. */
  metrics(): ChildMetrics | undefined
  /** Of the process; undefined while there is none. */
  pid(): number | undefined
}

/** What a node says and hears on direct streams. */
export type ChildDirectPorts = {
  /** By its own peer id, which its hello signs. */
  options(peerId: string): Promise<ChildDirectOptions>
  /** Where a process finds the other end of its pipe of messages; each finds one of its own. See node/messageDoor.ts. */
  openDoor(): Promise<string>
}

export type ChildDirectOptions = Omit<DirectOptions, 'onMessage'>

export type ChildPorts = Omit<NetworkPorts, 'direct'> & {
  /** Without it there are no direct streams. */
  readonly direct?: ChildDirectPorts | undefined
  /** A window of the delays of the process's event loop is over. */
  onDelay?(delay: LoopDelay): void
}

export type ChildOptions = Pick<HostOptions, 'seed' | 'genesisHash' | 'listen' | 'bootstrap'> & { readonly log: P2pLog }

type State = {
  readonly peers: number
  readonly validators: readonly ValidatorPeer[]
  readonly metrics: NetworkMetrics | undefined
  readonly facts: ProcessFacts | undefined
}

const NOTHING: State = { peers: 0, validators: [], metrics: undefined, facts: undefined }

/** Waits before a process is started anew; one that lived for a while was no failure. */
const RESTART_MIN_MS = 250
const RESTART_MAX_MS = 15_000
const STEADY_MS = 60_000
/** Time in which a process ends that is asked to. */
const END_MS = 5_000
/** Event loop that is late for longer is worth a warning. */
const DELAY_WARN_MS = 1_000
/** Heap of the process: what it holds for others is bounded far below. */
const HEAP_MIB = 768

/** Starts the network. Throws P2pError if it cannot listen, and what `ports.direct` throws. */
export async function openChildNetwork(ports: ChildPorts, options: ChildOptions): Promise<ChildNetwork> {
  const { log } = options
  const counts = { restarts: 0, tellDrops: 0, delayMaxMs: 0 }
  let state = NOTHING
  let direct: ChildDirectOptions | undefined
  let directError: unknown
  let running: Running | undefined
  let failures = 0
  let closed = false
  let restartTimer: NodeJS.Timeout | undefined

  const onState = (told: State) => {
    state = told
    const delayMs = told.facts?.delayMs ?? 0
    counts.delayMaxMs = Math.max(counts.delayMaxMs, delayMs)
    if (delayMs > DELAY_WARN_MS) log.warn('the event loop of the network was late', { delayMs })
  }
  /** What a validator says of itself is made once: the name stays the same. */
  const directOf = async (peerId: string) => {
    try {
      direct ??= await ports.direct?.options(peerId)
    } catch (error) {
      directError = error
      throw error
    }
    return direct
  }
  const start = async (listen: HostOptions['listen']) =>
    startProcess(handlersOf(ports, { directOf, onState, log }), {
      open: { ...options, listen, messagesAt: await ports.direct?.openDoor() },
      onEnd,
    })

  function onEnd(why: string, livedMs: number): void {
    running = undefined
    state = NOTHING
    if (closed) return
    failures = livedMs > STEADY_MS ? 0 : failures + 1
    const waitMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** Math.min(failures, 16))
    log.warn('the network process ended and is started anew', { why, waitMs })
    restartTimer = setTimeout(restart, waitMs)
  }

  function restart(): void {
    counts.restarts++
    start(listen)
      .then((again) => {
        if (closed) again.kill()
        else running = again
      })
      .catch((error: unknown) => onEnd(String(error), 0))
  }

  const first = await start(options.listen).catch((error: unknown) => {
    throw directError ?? error // what this process threw is more than what the other one says of it
  })
  running = first
  const listen = { host: options.listen.host, port: portOf(first.opened.addresses[0]) ?? options.listen.port }

  const tell = (name: string, argument?: unknown): boolean => {
    const isTold = running?.pipe.tell(name, argument) ?? false
    if (!isTold) counts.tellDrops++
    return isTold
  }
  const ask = async (name: string, argument: unknown): Promise<unknown> => running?.pipe.call(name, argument).catch(() => undefined)

  return {
    ...first.opened,
    direct: ports.direct && directOver(tell, ask, () => state),
    sendTransaction: (raw) => tell('sendTransaction', raw),
    sendBlock: (certified) => void tell('sendBlock', certified),
    sendSigners: (signers) => void tell('sendSigners', signers),
    request: async (request) => ((await ask('request', request)) as BlocksAnswer | undefined) ?? { ok: false, code: 'noPeer' },
    blame: (peer, why) => void tell('blame', { peer, why }),
    peers: () => state.peers,
    metrics: () =>
      state.metrics && state.facts && { ...state.metrics, process: { ...state.facts, ...counts, isUp: running !== undefined } },
    pid: () => running?.pid,
    async close() {
      closed = true
      clearTimeout(restartTimer)
      await running?.end()
    },
  }
}

type Tell = (name: string, argument?: unknown) => boolean
type Ask = (name: string, argument: unknown) => Promise<unknown>

/** Direct streams as the process has them. */
function directOver(tell: Tell, ask: Ask, state: () => State): ChildDirect {
  return {
    broadcastBlock: (block) => void tell('broadcastBlock', block),
    sendCheckpoint: (signature, peer) => void tell('sendCheckpoint', { signature, peer }),
    fetchBlock: async (hash, first) => (await ask('fetchBlock', { hash, first })) as Uint8Array | undefined,
    validators: () => state().validators,
    recheck: () => void tell('recheck'),
    blame: (peer, why) => void tell('blameDirect', { peer, why }),
    counts: () => state().metrics?.direct ?? noCounts(),
    close: async () => {}, // ends with the process
  }
}

type HandlerParts = { directOf(peerId: string): Promise<ChildDirectOptions | undefined>; onState(state: State): void; readonly log: P2pLog }

/** What the process asks and tells. */
function handlersOf(ports: ChildPorts, { directOf, onState, log }: HandlerParts) {
  let direct: ChildDirectOptions | undefined
  const known = (): ChildDirectOptions => {
    assert(direct, 'the process speaks of direct streams before it asked for the hello')
    return direct
  }
  return {
    async hello(peerId: string): Promise<SaidHello> {
      direct = await directOf(peerId)
      return { hello: direct?.hello, hasBlockCheck: direct?.isBlock !== undefined }
    },
    isBlock: ({ hash, block }: { readonly hash: Hex; readonly block: Uint8Array }) => known().isBlock?.(hash, block),
    checkTransactions({ batch, from }: { readonly batch: Uint8Array; readonly from: string }) {
      const decoded = decodeTransactions(batch)
      return decoded.ok ? ports.checkTransactions(decoded.value, from) : 'reject'
    },
    checkBlock: ({ news, from }: { readonly news: BlockNews; readonly from: string }) => ports.checkBlock(news, from),
    readBlock: (number: bigint) => ports.readBlock(number),
    onPeer: () => ports.onPeer(),
    checkHello: ({ peer, hello }: { readonly peer: string; readonly hello: Uint8Array }) => known().checkHello(peer, hello),
    onBlock: ({ block, from }: { readonly block: Uint8Array; readonly from: string }) => known().onBlock(block, from),
    onCheckpoint: ({ signature, from }: { readonly signature: Uint8Array; readonly from: string }) =>
      known().onCheckpoint?.(signature, from),
    readBytes: (hash: Hex) => known().readBlock(hash),
    onValidator: ({ peer, publicKey }: { readonly peer: string; readonly publicKey: Hex }) => known().onValidator?.(peer, publicKey),
    state: onState,
    delay: (delay: LoopDelay) => ports.onDelay?.(delay),
    log: ({
      level,
      event,
      facts,
    }: {
      readonly level: keyof P2pLog
      readonly event: string
      readonly facts?: Readonly<Record<string, unknown>>
    }) => log[level](event, facts),
  }
}

type Running = {
  readonly pipe: Pipe
  readonly pid: number | undefined
  readonly opened: OpenedNetwork
  kill(): void
  /** Asks it to end, and ends it if it does not. */
  end(): Promise<void>
}

type StartParts = { readonly open: OpenNetwork; onEnd(why: string, livedMs: number): void }

/** Starts a process and has it listen. Throws P2pError if it cannot. `onEnd` is called once for a process that was started. */
async function startProcess(handlers: ReturnType<typeof handlersOf>, { open, onEnd }: StartParts): Promise<Running> {
  const { seed, genesisHash, listen, bootstrap, messagesAt } = open
  const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MIB}`, fileURLToPath(new URL('./p2pProcess.ts', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  })
  const startedAt = Date.now()
  let isOpen = false
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(String(error)))
    child.once('exit', (code, signal) => resolve(`exit ${code ?? signal}`))
  })
  const socket = child.stdio[3]
  assert(socket instanceof Socket, 'the process has no pipe')
  const pipe = createPipe({ socket, handlers, onClose: () => child.kill('SIGKILL') })
  exited
    .then((why) => {
      pipe.close()
      if (isOpen) onEnd(why, Date.now() - startedAt)
    })
    .catch(() => {}) // it never rejects
  try {
    const opened = (await pipe.call('open', { seed, genesisHash, listen, bootstrap, messagesAt })) as OpenedNetwork
    isOpen = true
    return { pipe, pid: child.pid, opened, kill: () => child.kill('SIGKILL'), end: () => endProcess(child, pipe, exited) }
  } catch (error) {
    child.kill('SIGKILL')
    throw new P2pError(error instanceof Error ? error.message.replace(/^P2pError: /, '') : String(error), { cause: error })
  }
}

async function endProcess(child: ChildProcess, pipe: Pipe, exited: Promise<string>): Promise<void> {
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS)
  await pipe.call('close').catch(() => {}) // it may be gone already
  pipe.close()
  await exited
  clearTimeout(timer)
}

function portOf(address: string | undefined): number | undefined {
  const port = /\/tcp\/(\d+)/.exec(address ?? '')?.[1]
  return port === undefined ? undefined : Number(port)
}
