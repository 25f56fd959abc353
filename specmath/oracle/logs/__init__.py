"""What an engine's log proves: acceptance above the optimum, impossible counts, wrong metrics, greedy replay."""
