/** A Hardhat project on a node: the chain itself, and a fork of it that Hardhat keeps to itself. The test names the compiler, which is not to be fetched. */
import { env } from 'node:process'
import { defineConfig } from 'hardhat/config'

const { rpc, chainId, keys, compiler } = JSON.parse(env.HARDHAT_STAGE ?? '{}')

export default defineConfig({
  solidity: { version: compiler.version, path: compiler.path, settings: { evmVersion: 'prague' } },
  networks: {
    tributary: { type: 'http', url: rpc, chainId, accounts: keys },
    fork: { type: 'edr-simulated', chainId, forking: { enabled: true, url: rpc } },
  },
  // Hardhat wants to be told which rules an unknown chain had when.
  chainDescriptors: { [chainId]: { name: 'tributary', hardforkHistory: { prague: { blockNumber: 0 } } } },
})
