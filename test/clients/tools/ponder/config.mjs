/** What Ponder indexes: all events of two doors and of one contract, everything that happens to one account, and every block, from block 0 on. */
import { env } from 'node:process'
import { createConfig } from 'ponder'

const node = JSON.parse(env.INDEXED ?? '{}')
const chain = 'tributary'

export default createConfig({
  // A row for each event in the order of the chain: what Ponder takes for one chain is the order of all.
  ordering: 'omnichain',
  chains: { [chain]: { id: node.chainId, rpc: node.rpc, ws: node.ws, pollingInterval: 200 } },
  contracts: {
    ledger: { chain, abi: node.ledger.abi, address: node.ledger.address, startBlock: 0, includeTransactionReceipts: true },
    datanets: { chain, abi: node.datanets.abi, address: node.datanets.address, startBlock: 0 },
    token: { chain, abi: node.token.abi, address: node.token.address, startBlock: 0, includeCallTraces: true },
  },
  accounts: { stranger: { chain, address: node.stranger, startBlock: 0 } },
  blocks: { every: { chain, startBlock: 0, interval: 1 } },
})
