/**
 * The peer of the EVM lane: @ethereumjs/vm as it comes, `runBlock` over a MerkleStateManager, its trie's nodes in a level database of its own. It
 * starts from the nodes that our trie wrote: same encodings, same root.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBlock } from '@ethereumjs/block'
import { type Common, createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common'
import { createMPT } from '@ethereumjs/mpt'
import { Caches, MerkleStateManager } from '@ethereumjs/statemanager'
import { createTxFromRLP } from '@ethereumjs/tx'
import { Account, type BatchDBOp, bytesToHex, createAddressFromString, type DB, unprefixedHexToBytes } from '@ethereumjs/util'
import { createVM, runBlock } from '@ethereumjs/vm'
import { Level } from 'level'
import type { Hex } from 'viem'
import { commonOf } from '../../execution/ethereumRules.ts'

/** Reads a trie's node, or code, by its hash. */
type Reader = (hash: Uint8Array) => Uint8Array | undefined

export type StockVm = {
  /** Runs a block of these transactions and writes what it changed. */
  run(transactions: readonly Uint8Array[], header?: StockHeader): Promise<StockResult>
  /** Adds to an account, and answers the state's root then. */
  credit(address: Hex, amountWei: bigint): Promise<string>
  close(): Promise<void>
}

export type StockHeader = {
  readonly number: bigint
  readonly timestamp: bigint
  readonly baseFeePerGas: bigint
  readonly miner: Hex
  readonly gasLimit: bigint
}
export type StockResult = { readonly stateRoot: string; readonly receiptsRoot: string; readonly gasUsed: bigint }

/**
 * A VM at the root. `crypto`: `stock` is what comes with the library, JavaScript; `ours` hands it our keccak256 and signature recovery. `setup`:
 * `defaults` says nothing that need not be said, `cached` gives the state manager and the trie their caches, and nodes are kept as bytes.
 */
export async function createStockVm({
  chainId,
  root,
  readNode,
  readCode,
  crypto,
  setup = 'cached',
}: {
  readonly chainId: number
  readonly root: Uint8Array
  readonly readNode: Reader
  readonly readCode?: Reader
  readonly crypto: 'stock' | 'ours'
  readonly setup?: 'defaults' | 'cached'
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
  const isCached = setup === 'cached'
  const trie = await createMPT({
    db: nodeDb(level, { readNode, readCode }, isCached),
    root,
    useKeyHashing: true,
    common,
    ...(isCached ? { valueEncoding: 'view', cacheSize: 100_000 } : {}),
  })
  const stateManager = new MerkleStateManager({ trie, common, ...(isCached ? { caches: new Caches() } : {}) })
  const vm = await createVM({ common, stateManager })
  let number = 0n
  return {
    async run(transactions, given) {
      number++
      const usual = {
        number,
        timestamp: 1_800_000_000n + number,
        gasLimit: 10_000_000_000n,
        baseFeePerGas: 7n,
        miner: `0x${'c3'.repeat(20)}` as Hex,
      }
      const { miner, gasLimit, baseFeePerGas, ...at } = given ?? usual
      const header = { number: at.number, timestamp: at.timestamp, gasLimit, baseFeePerGas, coinbase: createAddressFromString(miner) }
      const txs = transactions.map((raw) => createTxFromRLP(raw, { common }))
      const block = createBlock({ header, transactions: txs, withdrawals: [] }, { common, skipConsensusFormatValidation: true })
      const { gasUsed, stateRoot, receiptsRoot } = await runBlock(vm, { block, generate: true, skipBlockValidation: true })
      return { stateRoot: bytesToHex(stateRoot), receiptsRoot: bytesToHex(receiptsRoot), gasUsed }
    },
    async credit(address, amountWei) {
      const at = createAddressFromString(address)
      const account = (await stateManager.getAccount(at)) ?? new Account()
      account.balance += amountWei
      await stateManager.putAccount(at, account)
      return bytesToHex(await stateManager.getStateRoot())
    },
    async close() {
      await level.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Nodes by their hash in hex, and code: what this peer wrote, and below it ours. */
function nodeDb(
  level: Level<string, Uint8Array>,
  { readNode, readCode }: { readonly readNode: Reader; readonly readCode: Reader | undefined },
  asBytes: boolean,
): DB<string, string | Uint8Array> {
  const options = { keyEncoding: 'utf8', valueEncoding: asBytes ? 'view' : 'utf8' } as const
  const own = (key: string) => {
    // A state manager keeps code under 'c' and its hash.
    const code = key.length === 66 && key.startsWith('63') ? readCode?.(unprefixedHexToBytes(key.slice(2))) : undefined
    const found = key.length === 64 ? readNode(unprefixedHexToBytes(key)) : code
    return found && !asBytes ? bytesToHex(found).slice(2) : found
  }
  const db: DB<string, string | Uint8Array> = {
    get: async (key) => (await level.get(key, options)) ?? own(key),
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
