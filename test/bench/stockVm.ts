/**
 * The peer of the EVM lane: @ethereumjs/vm as it comes, `runBlock` over a MerkleStateManager with its caches, its trie's nodes in a level
 * database of its own. It starts from the nodes that our trie wrote: same encodings, same root.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBlock } from '@ethereumjs/block'
import { type Common, createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common'
import { createMPT } from '@ethereumjs/mpt'
import { Caches, MerkleStateManager } from '@ethereumjs/statemanager'
import { createTxFromRLP } from '@ethereumjs/tx'
import { type BatchDBOp, bytesToHex, createAddressFromString, type DB, unprefixedHexToBytes } from '@ethereumjs/util'
import { createVM, runBlock } from '@ethereumjs/vm'
import { Level } from 'level'
import { commonOf } from '../../execution/vm.ts'

type NodeReader = (hash: Uint8Array) => Uint8Array | undefined

export type StockVm = {
  /** Runs a block of these transactions and writes what it changed. */
  run(transactions: readonly Uint8Array[]): Promise<{ readonly stateRoot: string; readonly gasUsed: bigint }>
  close(): Promise<void>
}

/**
 * A VM at the root. `crypto`: `stock` is what comes with the library, JavaScript; `ours` hands it our keccak256 and signature recovery.
 */
export async function createStockVm({
  chainId,
  root,
  readNode,
  crypto,
}: {
  readonly chainId: number
  readonly root: Uint8Array
  readonly readNode: NodeReader
  readonly crypto: 'stock' | 'ours'
}): Promise<StockVm> {
  const { customCrypto } = commonOf(chainId)
  // Shanghai: the fork after it calls system contracts in every block, which ours has none of.
  const common: Common = createCustomCommon({ name: 'stock', chainId }, Mainnet, {
    hardfork: Hardfork.Shanghai,
    ...(crypto === 'ours' ? { customCrypto } : {}),
  })
  const folder = mkdtempSync(join(tmpdir(), 'tributary-stock-'))
  const level = new Level<string, Uint8Array>(folder, { keyEncoding: 'utf8', valueEncoding: 'view' })
  await level.open()
  const trie = await createMPT({
    db: nodeDb(level, readNode),
    root,
    useKeyHashing: true,
    valueEncoding: 'view',
    cacheSize: 100_000,
    common,
  })
  const stateManager = new MerkleStateManager({ trie, common, caches: new Caches() })
  const vm = await createVM({ common, stateManager })
  let number = 0n
  return {
    async run(transactions) {
      number++
      const header = {
        number,
        timestamp: 1_800_000_000n + number,
        gasLimit: 10_000_000_000n,
        baseFeePerGas: 7n,
        coinbase: createAddressFromString(`0x${'c3'.repeat(20)}`),
      }
      const txs = transactions.map((raw) => createTxFromRLP(raw, { common }))
      const block = createBlock({ header, transactions: txs, withdrawals: [] }, { common, skipConsensusFormatValidation: true })
      const { gasUsed, stateRoot } = await runBlock(vm, { block, generate: true, skipBlockValidation: true })
      return { stateRoot: bytesToHex(stateRoot), gasUsed }
    },
    async close() {
      await level.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Nodes by their hash in hex: those that this peer wrote, and below them ours. */
function nodeDb(level: Level<string, Uint8Array>, readNode: NodeReader): DB<string, string | Uint8Array> {
  const options = { keyEncoding: 'utf8', valueEncoding: 'view' } as const
  const db: DB<string, string | Uint8Array> = {
    get: async (key) => (await level.get(key, options)) ?? (key.length === 64 ? readNode(unprefixedHexToBytes(key)) : undefined),
    put: (key, value) => level.put(key, value as Uint8Array, options),
    del: (key) => level.del(key, options),
    batch: (operations: BatchDBOp<string, string | Uint8Array>[]) =>
      level.batch(
        operations.map((one) =>
          one.type === 'put' ? { type: 'put', key: one.key, value: one.value as Uint8Array } : { type: 'del', key: one.key },
        ),
        options,
      ),
    shallowCopy: () => db,
    open: async () => {},
  }
  return db
}
