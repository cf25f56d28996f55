/**
 * What consensus asks of the chain, done on the thread that has it: blocks built, checked and made final, certificates looked up, proposed blocks sent on.
 * Consensus is on a thread of its own (node/consensusThread.ts), or, in tests, on the same.
 */
import { timestampMs } from '../execution/block.ts'
import type { ChainState } from './chainState.ts'
import type { FinalBlock } from './follower.ts'
import { createExecution, type ExecutionOptions } from './proposalExecution.ts'
import type { Decision, ValidatorChain } from './validator.ts'

export type ConsensusChainOptions = Omit<ExecutionOptions, 'isOpen' | 'net'> & {
  readonly net: ExecutionOptions['net'] & { broadcastBlock(block: Uint8Array): void }
}

export type ConsensusChain = ValidatorChain & {
  /** Takes a proposed block of another validator. */
  takeBlock(block: Uint8Array, peer: string): void
  /** Takes a block that a quorum made final, before consensus is given its certificate. */
  give(final: Pick<FinalBlock, 'hash' | 'block'>): void
  /** Gives up what waits for others. */
  stop(): void
}

/** Over the chain as this process executes it. */
export function createConsensusChain({ net, ...options }: ConsensusChainOptions): ConsensusChain {
  const { chain, log, nowMs } = options
  let stopped = false
  const height = () => Number(chain.head().header.number)
  const execution = createExecution({ ...options, net, isOpen: (asked) => !stopped && height() < asked })

  async function decide({ round, blockHash, commit, decidedMs }: Decision): Promise<void> {
    const { block, transactions } = await chain.decide(blockHash, commit)
    const { number, gasUsed } = block.header
    log.debug('block final', {
      ...{ number, hash: blockHash, txs: transactions.length, gasUsed, round },
      // From the proposal's time: to its being final here, of it building or checking it here, and to its being written here.
      finalMs: decidedMs - timestampMs(block.header),
      ...execution.took(blockHash),
      writtenMs: nowMs() - timestampMs(block.header),
    })
    execution.settle(number)
  }

  return {
    head: () => headOf(chain),
    isWaiting: () => chain.pool.size() > 0,
    build: execution.build,
    check: execution.check,
    decide,
    async commitOf(asked) {
      const commit = chain.store.commit(BigInt(asked))
      return commit && new Uint8Array(commit) // with memory of its own: what it may be a part of is not copied to another thread
    },
    sendBlock(blockHash) {
      const bytes = chain.store.bytesOf(blockHash)
      if (bytes) net.broadcastBlock(bytes)
    },
    takeBlock: execution.take,
    give: ({ hash, block }) => execution.give(hash, block),
    stop() {
      stopped = true
      execution.close()
    },
  }
}

function headOf(chain: ChainState): ReturnType<ValidatorChain['head']> {
  const { header } = chain.head()
  const { minBlockIntervalMs, maxBlockIntervalMs } = chain.nextParams()
  return { height: Number(header.number), timestampMs: timestampMs(header), minBlockIntervalMs, maxBlockIntervalMs }
}
