"""Reports on finished runs: reads run folders, never trains."""
