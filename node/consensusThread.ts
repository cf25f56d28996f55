/**
 * Consensus on a thread of its own (node/consensusWorker.ts), as the main thread sees it: told how the chain stands, answered what it asks of the chain
 * (node/consensusChain.ts). A thread that dies takes the node with it: what it was about to say is known to its log alone.
 *
 * Between the threads there is at any time at most what a height needs: a block to build, a few to check, one to decide, commits for peers that are behind (all
 * bounded in node/validator.ts), and from here one news and one wake a block, and one block to adopt. No block crosses.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Hex } from 'viem'
import type { Evidence } from '../consensus/evidence.ts'
import type { ChainState } from './chainState.ts'
import type { ConsensusChain } from './consensusChain.ts'
import type { ChainNews, ConsensusHandlers, ConsensusWorkerData, MainHandlers } from './consensusMessages.ts'
import type { EpochSets } from './epochs.ts'
import type { FinalBlock } from './follower.ts'
import { errorFacts, type Log } from './log.ts'
import type { LoopDelay } from './loopDelay.ts'
import type { SigningKey } from './signer.ts'
import { createThreadPipe } from './threadPipe.ts'

/** Heap of the thread: one height's messages, and what the largest set needs. What lives for a block only is little, so that seldom much of it lies about. */
const HEAP = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 8 }
/** Longest that the thread may take to stop; it waits for a block that is being built or written. */
const STOP_MAX_MS = 10_000

/** The thread of consensus failed, or ended by itself. The node must end. */
export class ConsensusThreadError extends Error {
  override readonly name = 'ConsensusThreadError'
  readonly retryable = false
}

export type ConsensusThreadOptions = {
  readonly chain: Pick<ChainState, 'genesis' | 'pool' | 'onBlock'>
  readonly sets: Pick<EpochSets, 'next'>
  /** What the thread asks for, on this one. */
  readonly asked: ConsensusChain
  readonly key: SigningKey
  /** Folder of log and guard. */
  readonly directory: string
  readonly log: Log
  /** Others are at heights beyond the next one. */
  onAhead(): void
  onEvidence(evidence: Evidence): void
  onDelay(delay: LoopDelay): void
  /** The validator can go on no further: the process must stop. */
  onFatal(error: unknown): void
}

export type ConsensusThread = {
  /** Takes up the log, or starts the first height. Rejects with ConsensusThreadError if log, guard or key do not allow it. */
  start(): Promise<void>
  /** Something may wait for a block: the next height may start as early as the network allows. */
  wake(): void
  /** Takes the block after the head, which a quorum made final. Resolves as `adopt` of node/validator.ts does. */
  adopt(final: FinalBlock): Promise<void>
  /** Signature over helloDigest. */
  signHello(genesisHash: Hex, peerId: string): Promise<Uint8Array>
  /** Where the network's process brings consensus messages to; see node/messageDoor.ts. */
  openDoor(): Promise<string>
  /** Ends the thread at once, as its crash would: for tests. */
  kill(): void
  /** Ends after what is under way; nothing is signed afterwards. */
  stop(): Promise<void>
}

/** Starts the thread, whose validator does nothing until it is started. */
export function createConsensusThread(options: ConsensusThreadOptions): ConsensusThread {
  const { chain, sets, asked, key, directory, log, onFatal } = options
  const { chainId, epochBlocks } = chain.genesis.params
  let toldEpoch: number | undefined
  /** Whether it was told that something waits. */
  let awake = false
  let state: 'opening' | 'running' | 'stopping' | 'over' = 'opening'

  const workerData: ConsensusWorkerData = { chainId, epochBlocks, directory, key: key.parts(), news: takeNews() }
  const worker = new Worker(new URL('./consensusWorker.ts', import.meta.url), { workerData, resourceLimits: HEAP })
  const pipe = createThreadPipe<ConsensusHandlers, MainHandlers>(worker, {
    build: (request) => fatally(asked.build(request)),
    check: (request) => fatally(asked.check(request)),
    decide: (decision) => fatally(asked.decide(decision)),
    commitOf: (height) => fatally(asked.commitOf(height)),
    sendBlock: asked.sendBlock,
    ahead: options.onAhead,
    evidence: options.onEvidence,
    fatal: (why) => fail(new ConsensusThreadError(why)),
    log: ({ room, level, event, facts }) => (room === undefined ? log : log.child(room))[level](event, facts),
    delay: options.onDelay,
  })
  pipe.listen()
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  worker.once('error', (cause) => fail(new ConsensusThreadError(`the thread of consensus failed: ${errorFacts(cause).error}`, { cause })))
  worker.once('exit', () => fail(new ConsensusThreadError('the thread of consensus ended')))
  const stopListening = chain.onBlock(() => pipe.tell('news', takeNews()))

  function takeNews(): ChainNews {
    awake = asked.isWaiting()
    const { epoch, validators } = sets.next()
    const set = epoch === toldEpoch ? undefined : { epoch, members: validators }
    toldEpoch = epoch
    return { head: asked.head(), isWaiting: awake, set }
  }

  /** Whoever asked would wait for ever, or go on with what is not so. */
  function fatally<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      fail(error)
      throw error
    })
  }

  /** Before it runs, whoever starts it is told. */
  function fail(error: unknown): void {
    if (state === 'stopping' || state === 'over') return
    const isRunning = state === 'running'
    state = 'over'
    pipe.close(error instanceof Error ? error.message : String(error))
    void worker.terminate()
    if (isRunning) onFatal(error)
  }

  return {
    async start() {
      try {
        await pipe.call('start', undefined)
      } catch (error) {
        throw new ConsensusThreadError(error instanceof Error ? error.message : String(error), { cause: error })
      }
      if (state === 'opening') state = 'running'
    },
    wake() {
      if (awake || !asked.isWaiting()) return
      awake = true
      pipe.tell('wake', undefined)
    },
    async adopt(final) {
      asked.give(final)
      const { number, commit } = final
      await pipe.call('adopt', { number, commit }).catch((error: unknown) => {
        if (state === 'opening' || state === 'running') throw error
      })
    },
    signHello: (genesisHash, peerId) => pipe.call('signHello', { genesisHash, peerId }),
    openDoor: () => pipe.call('openDoor', undefined),
    kill: () => void worker.terminate(),
    async stop() {
      stopListening()
      asked.stop()
      if (state !== 'over') {
        state = 'stopping'
        const stop = new AbortController()
        await Promise.race([pipe.call('stop', undefined).catch(() => {}), sleep(STOP_MAX_MS, undefined, { signal: stop.signal })])
        stop.abort()
        state = 'over'
        await worker.terminate()
      }
      await exited
    },
  }
}
